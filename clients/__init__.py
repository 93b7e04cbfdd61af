"""Clients of the suite: typed clients for programs, the command line, and the operators' tools."""
