"""The benchmark: Comanda beside its peers on one machine, driven by the same client. `make bench` runs it."""
