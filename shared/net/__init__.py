"""TCP with limits, as used by all servers of the suite."""
