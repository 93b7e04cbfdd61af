"""Persistence: audited corporate data, scores, and the records of every other service."""
