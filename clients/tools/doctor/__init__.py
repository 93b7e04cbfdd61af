"""Examines an installation, and says how to cure what is wrong with it."""
