"""Types and rules of the business: msgspec and the standard library only."""
