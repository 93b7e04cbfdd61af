"""Modules that all parts of Comanda may use: domain, wire format, stores, network and runtime."""

VERSION = "0.2.0"
