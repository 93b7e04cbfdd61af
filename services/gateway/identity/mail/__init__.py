"""Mail: a port, and its adapters for SMTP and for a folder."""
