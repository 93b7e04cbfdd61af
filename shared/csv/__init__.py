"""CSV files of stock: encoding, delimiter and header are detected, cells are checked, and exports are safe to open."""
