"""Moves all data from one kind of store to another."""
