"""Copies of the whole store: taken while the suite runs, checked, and put back."""
