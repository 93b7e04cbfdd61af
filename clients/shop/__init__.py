"""The shop: books and lists, as functions over the records of the persistence server."""
