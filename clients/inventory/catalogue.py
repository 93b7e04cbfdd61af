"""The catalogue of what is stocked where: a record whose version changes when an item comes or goes.

Who keeps in memory which stores have an item is right as long as the version is the same.
"""

from shared.domain.records import Update
from shared.domain.tables import INVENTORY

CATALOGUE = {"name": "catalogue"}
"""The record's key in `INVENTORY`."""


def catalogue_changed() -> Update:
    """The part of a transaction that says that it adds or removes an item."""
    return Update(INVENTORY.name, CATALOGUE, add={"changes": 1})
