"""Routes of the bookstore."""
