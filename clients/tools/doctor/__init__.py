"""Examines an installation, and suggests a cure for each problem."""
