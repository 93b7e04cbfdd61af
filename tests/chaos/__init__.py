"""The fault harness: breaks a running intake in every way it can, and proves that its promise held."""
