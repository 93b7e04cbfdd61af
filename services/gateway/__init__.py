"""The gateway: HTTP in front of the other servers."""
