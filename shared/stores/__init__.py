"""Where orders are kept: the ports, and one adapter per database."""
