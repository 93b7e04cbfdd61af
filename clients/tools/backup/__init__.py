"""Backups of the whole store: created while the suite runs, verified, and restored."""
