"""The load test: puts a server under load, measures it, and proves that nothing was lost."""
