"""The search of books: the port, the analysis of texts, and an adapter for each search engine."""
