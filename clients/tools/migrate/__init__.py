"""Moves everything from one kind of store to another."""
