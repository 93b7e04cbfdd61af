"""SQL over the analytics lake, for commands and servers."""
