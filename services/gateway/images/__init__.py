"""Images of books: scaled in a process of their own, and stored in files."""
