"""The inventory service: imports, movements, low-stock alerts and reservations."""
