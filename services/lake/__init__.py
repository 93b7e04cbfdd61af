"""The service of the analytics lake: writes what happens into files that SQL reads."""
