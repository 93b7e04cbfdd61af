"""The servers of the suite, and the supervisor that runs them together."""
