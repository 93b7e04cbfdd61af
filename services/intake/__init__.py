"""The order intake: takes orders over TCP, stores them, and has them worked off."""
