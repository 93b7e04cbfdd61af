"""The inventory service: applies imports, follows every change of stock, tells of what is low, reserves for orders."""
