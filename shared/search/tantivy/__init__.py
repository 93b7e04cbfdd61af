"""The search of books with tantivy: one index in a folder of files for each tenant."""
