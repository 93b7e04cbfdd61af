"""The load test: puts a server under load, measures it, and verifies that no order is lost."""
