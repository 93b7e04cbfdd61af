"""The catalogue of stocked items: a record whose version changes when an item is added or removed.

A cache of the stores that have an item is valid as long as the version is unchanged.
"""

from shared.domain.records import Update
from shared.domain.tables import INVENTORY

CATALOGUE_KEY = {"name": "catalogue"}
"""The key of the record in `INVENTORY`."""


def advance_catalogue() -> Update:
    """Returns the action for a transaction that adds or removes an item."""
    return Update(INVENTORY.name, CATALOGUE_KEY, add={"changes": 1})
