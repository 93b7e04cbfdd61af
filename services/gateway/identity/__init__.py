"""Identity: tenants, principals, and their credentials."""
