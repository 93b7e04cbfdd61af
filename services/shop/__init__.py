"""The service of the bookstore: keeps what is derived from the records of books."""
