"""Types and rules of the domain. They import msgspec and the standard library only."""
