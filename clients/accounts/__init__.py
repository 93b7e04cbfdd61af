"""Tenants, accounts and their sessions for client programs, stored by the persistence server."""
