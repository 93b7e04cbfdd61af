"""Clients of the suite: typed ones for programs, a command line for people, and the load test."""
