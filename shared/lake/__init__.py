"""The analytics lake: tables, files, and the SQL over them."""
