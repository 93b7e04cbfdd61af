"""Stores of orders and records: ports, and adapters for each database."""
