"""The servers behind the gateway: connection pools with circuit breakers, and the one event subscription."""
