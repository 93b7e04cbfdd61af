"""Groups of transactions that one request to DynamoDB writes."""

import contextlib
import uuid
from collections.abc import Sequence

from shared.domain.errors import InvalidParams
from shared.domain.records import Action, Put, Table, Transaction, item_bytes
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import TRANSACTION_ACTIONS, TRANSACTION_BYTES
from shared.stores.evaluation import key_of
from shared.stores.keys import item_keys

Place = tuple[str, str, str]
"""The table, the partition and the sort key of an item."""


class TransactionGroup:
    """Transactions that are written together and affect different items."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self.numbers: list[int] = []
        """The index of each transaction in the call."""
        self.places: set[Place] = set()
        self.actions = 0
        self.size = 0
        self.journals = False
        self.name = uuid.uuid4().hex
        """The token of its items, which identifies its own write even if that is done late."""
        self.in_doubt = False
        """True if an attempt to write it had no reply."""

    def must_follow(self, other: "TransactionGroup") -> bool:
        """Whether it must not be written before another, earlier group."""
        return (self.journals and other.journals) or not self.places.isdisjoint(other.places)


def group_transactions(tables: Tables, transactions: Sequence[Transaction]) -> list[TransactionGroup]:
    """Returns the groups of the transactions of a call, in their order; only those with journals share one."""
    groups: list[TransactionGroup] = []
    journals: TransactionGroup | None = None
    for number, transaction in enumerate(transactions):
        places = _list_places(tables, transaction)
        size = sum(item_bytes(action.item) for action in transaction.actions if isinstance(action, Put))
        size += item_bytes(transaction.journal.item) if transaction.journal is not None else 0
        actions = len(places) + (transaction.journal is not None)
        # A separate mark may be written or checked for each of these items.
        actions += sum(tables[place[0]].own_key for place in places)
        # The last transaction records the end of the journals and belongs to their group: reserve its action.
        ends = number == len(transactions) - 1
        fits = (
            journals is not None
            and (transaction.journal is not None or ends)
            and journals.actions + actions <= TRANSACTION_ACTIONS - (not ends)
            and journals.size + size <= TRANSACTION_BYTES
            and all(places.isdisjoint(group.places) for group in groups[groups.index(journals) :])
        )
        if journals is None or not fits:
            group = TransactionGroup()
            groups.append(group)
            if transaction.journal is not None:
                journals = group
        else:
            group = journals
        group.transactions.append(transaction)
        group.numbers.append(number)
        group.places |= places
        group.actions += actions
        group.size += size
        group.journals = group is journals
    return groups


def _list_places(tables: Tables, transaction: Transaction) -> set[Place]:
    places: set[Place] = set()
    # The evaluation reports errors of actions.
    with contextlib.suppress(InvalidParams):
        places.update(find_place(tables, transaction, action)[1] for action in transaction.actions)
    return places


def find_place(tables: Tables, transaction: Transaction, action: Action) -> tuple[Table, Place]:
    """Returns table and place of the item of an action. Raises InvalidParams."""
    table = tables.get_table(action.table)
    return table, (table.name, *item_keys(table, transaction.tenant, key_of(action, table)))
