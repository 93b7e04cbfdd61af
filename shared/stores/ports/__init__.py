"""The ports of the stores. Each database has adapters for them, and one contract suite tests all adapters."""
