"""Records: tables and their keys, permitted values of items, and actions that change items.

The model has the structure and the limits of DynamoDB, so that every feature works on every store:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from typing import Annotated, Any, NamedTuple, TypeGuard

import msgspec
from msgspec import Meta, Struct

from shared.domain.errors import InvalidParams
from shared.domain.names import fold_names

Value = Any
"""Text, a number (`int` or `Decimal`), true, false, null, or a list or an object of these."""
Item = dict[str, Value]

MAX_ITEM_BYTES = 400 * 1024
MAX_ACTIONS = 100
MAX_LEFT_BYTES = 4 * 2**20
"""Maximum size of the items that the updates and checks of a request leave, as of a transaction of DynamoDB."""
MAX_DIGITS = 38
MAX_DEPTH = 32
MAX_PARTITION_BYTES = 1024
MAX_SORT_BYTES = 512
RESERVED = "comanda:"
"""Prefix of member names that are reserved for the stores."""

_SMALLEST_EXPONENT = -130
_LARGEST_EXPONENT = 125
_WHOLE_LIMIT = 10**MAX_DIGITS
_NUMBER_BYTES = 21
"""Maximum size of a number of DynamoDB."""
# Two characters of JSON, as a digit and a comma, stand for at most 22 bytes of an item. Encoding a small item takes
# less time than measuring it.
_SURELY_SHORT = MAX_SORT_BYTES // 4
_SURELY_FITS = MAX_ITEM_BYTES // 11
_encode = msgspec.json.Encoder(decimal_format="number").encode
_EXACT = Context(prec=MAX_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


class Index(Struct, frozen=True):
    """A secondary index of a table: items that have the member `sort`, in its order.

    Without `partition` an index covers all items of a tenant. A `rare` index is seldom queried, so a store may scan
    the table instead of updating the index with every write.
    """

    name: str
    sort: str
    partition: str | None = None
    rare: bool = False


class Table(Struct, frozen=True):
    """A table of items with a key of one or two members, which are text unless they are in `numbers`.

    Members in `folded` are names: keys contain their normal form (`shared.domain.names`), so every spelling of a name
    finds the item. An item keeps the spelling of its first write.
    """

    name: str
    partition: str
    sort: str | None = None
    numbers: frozenset[str] = frozenset()
    folded: frozenset[str] = frozenset()
    indexes: tuple[Index, ...] = ()
    feed: bool = True
    """True if the change feed includes the table."""
    own_key: bool = False
    """True if all items belong to one tenant, so stores that other programs read can use `partition` as the key."""
    expires: str | None = None
    """The member with the expiry of an item, in Unix seconds; an item without it, or with another value, stays.

    Reads and conditions treat an item as absent from its expiry on; the stores remove it later.
    """

    def has_expired(self, item: Item, now: float) -> bool:
        """Whether an item has expired at `now`, in Unix seconds."""
        if self.expires is None:
            return False
        value = item.get(self.expires)
        return is_number(value) and value <= now

    @property
    def name_members(self) -> list[str]:
        """Returns the members of the key that are names."""
        return [name for name in (self.partition, self.sort) if name is not None and name in self.folded]

    @property
    def kept_indexes(self) -> list[Index]:
        """Returns the indexes that every store updates with every write."""
        return [index for index in self.indexes if not index.rare]

    def get_index(self, name: str) -> Index:
        """Returns the index of this name. Raises InvalidParams."""
        for index in self.indexes:
            if index.name == name:
                return index
        known = ", ".join(index.name for index in self.indexes) or "none"
        raise InvalidParams(f"{self.name} has no index {name}", field="index", hint=f"its indexes: {known}")


def is_number(value: Value) -> TypeGuard[int | Decimal]:
    """Returns whether a value is a number; true and false are not numbers."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


Tenant = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""The owner of items; tenants have no access to the items of other tenants."""

Key = Mapping[str, Value]
"""The members of a table's key with their values."""


class Condition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The precondition of a change; all of its members have to hold for the item."""

    exists: bool | None = None
    version: int | None = None
    """The version of the item; 0 means that it does not exist."""
    equal: dict[str, Value] = {}
    at_least: dict[str, Value] = {}
    at_most: dict[str, Value] = {}
    absent: list[str] = []
    """Members that the item must not have."""


class Put(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="put"):
    """Stores an item, replacing any existing one."""

    table: str
    item: Item
    when: Condition | None = None


class Delete(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="delete"):
    """Removes an item if it exists."""

    table: str
    key: dict[str, Value]
    when: Condition | None = None


class Update(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="update"):
    """Changes members of an item; creates the item if it does not exist."""

    table: str
    key: dict[str, Value]
    set: dict[str, Value] = {}
    remove: list[str] = []
    add: dict[str, Value] = {}
    """Counters; a missing member counts as 0."""
    largest: dict[str, Value] = {}
    """Members that keep the larger of the stored and the given value."""
    when: Condition | None = None
    create: dict[str, Value] = {}
    """Members of a new item; ignored if the item exists."""


class Check(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="check"):
    """Changes nothing; its condition has to hold for the rest of the transaction."""

    table: str
    key: dict[str, Value]
    when: Condition


Action = Put | Delete | Update | Check


class Transaction(NamedTuple):
    """Actions on up to 100 different items that take effect atomically.

    The item of `journal` is put in the same commit, even if a condition refuses the actions, so that the journal
    records the attempt.
    """

    tenant: str
    actions: list[Action]
    journal: Put | None = None
    room: "ReplyRoom | None" = None
    """The room that the reply has for its items; the transactions of a request share it."""
    returns: bool = True
    """False if nobody needs the records: the outcome is empty, and a store may write without reading."""


class Record(NamedTuple):
    """A stored item; each change increments `version`.

    The first version of a key is 1, or higher than all removed versions of the key (`shared.domain.tables.REMOVALS`),
    so a version of a key never identifies two contents.
    """

    item: Item
    version: int


class Written(NamedTuple):
    """The record before and after an action; both are the same for a check."""

    old: Record | None
    new: Record | None


class ReplyRoom:
    """The room of a reply for items that its request does not contain: those that updates and checks leave.

    A hundred updates of a few bytes would otherwise read, write and return 40 MB.
    """

    __slots__ = ("_sizes", "left")

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        """The size of an action's item by the identity of the action: a store may evaluate an action repeatedly."""
        self.left = MAX_LEFT_BYTES
        """Bytes; negative after an item that had no room."""

    def take(self, action: Action, size: int) -> None:
        """Takes the room of the item that an action leaves. Raises InvalidParams if there is none."""
        self.left += self._sizes.get(id(action), 0) - size
        self._sizes[id(action)] = size
        if self.left < 0:
            raise self.full_error()

    def full_error(self) -> InvalidParams:
        """Returns the error about an item that has no room."""
        return InvalidParams(
            f"the items that the updates and checks of the request leave have more than {MAX_LEFT_BYTES} bytes",
            field="actions",
            hint="send fewer of them in one request",
        )


# Values of most items, which are in canonical form already: `msgspec.convert` takes a tenth of the time of a walk
# through them. Other values, as numbers with decimals and deeper ones, are checked one by one.
_Scalar = str | bool | None | Annotated[int, Meta(ge=-(2**53), le=2**53)]
_Members = _Scalar | list[_Scalar] | dict[str, _Scalar]
_PlainValue = _Scalar | list[_Members] | dict[str, _Members]


class _PlainItem(Struct):
    item: dict[str, _PlainValue]


def check_item(table: Table, item: Item) -> Item:
    """Returns an item with numbers in canonical form, as all stores keep it. Raises InvalidParams naming the member.

    Its key has been checked (`check_key`).
    """
    try:
        checked = msgspec.convert({"item": item}, _PlainItem).item
    except msgspec.ValidationError:
        checked = {name: check_value(value, name) for name, value in item.items()}
    if "" in item or RESERVED in "".join(item):
        _check_names(item)
    for index in table.indexes:
        for member in (index.partition, index.sort):
            if member in checked and member not in (None, table.partition, table.sort):
                _check_key_value(table, member, checked[member])
    if document_bytes(checked) > _SURELY_FITS and (size := item_bytes(checked)) > MAX_ITEM_BYTES:
        raise InvalidParams(
            f"the item has {size} bytes, and an item has at most {MAX_ITEM_BYTES}", hint="store it in parts"
        )
    return checked


def _check_names(item: Item) -> None:
    for name in item:
        if not name or name.startswith(RESERVED):
            raise InvalidParams(f"{name!r} cannot be the name of a member", field=name, hint="choose another")


def check_key(table: Table, key: Key, *, alone: bool = False) -> None:
    """Raises InvalidParams unless the key is complete and valid; with `alone`, also if there are other members."""
    members = 0
    for name in (table.partition, table.sort):
        if name is None:
            continue
        members += 1
        if name not in key:
            names = _key_members(table)
            raise InvalidParams(f"{name} is missing: the key of {table.name} is {', '.join(names)}", field=name)
        _check_key_value(table, name, key[name])
    if alone and len(key) > members:
        names = _key_members(table)
        odd = next(name for name in key if name not in names)
        raise InvalidParams(f"{odd} is not in the key of {table.name}", field=odd, hint=f"its key: {', '.join(names)}")


def _key_members(table: Table) -> list[str]:
    return [table.partition] if table.sort is None else [table.partition, table.sort]


def _check_key_value(table: Table, name: str, value: Value) -> None:
    if name in table.numbers:
        if not is_number(value):
            raise InvalidParams(f"{name} must be a number", field=name)
        check_value(value, name)
        return
    if not isinstance(value, str) or not value:
        raise InvalidParams(f"{name} must be text that is not empty", field=name)
    folded = value
    if name in table.folded and not (folded := fold_names(value)):
        raise InvalidParams(f"{name} has no visible character", field=name)
    if len(value) <= _SURELY_SHORT and len(folded) <= _SURELY_SHORT:
        return
    limit = MAX_PARTITION_BYTES if name == table.partition else MAX_SORT_BYTES
    if max(text_bytes(value), text_bytes(folded)) > limit:
        raise InvalidParams(f"{name} has more than {limit} bytes", field=name)


Path = tuple[Any, ...] | str
"""The path of a value: a name, or the parent's path and a name or an index. It is only formatted for errors."""


def check_value(value: Value, path: Path, depth: int = 1) -> Value:
    """A value with its numbers in one form: whole ones as `int`. Raises InvalidParams."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if -_WHOLE_LIMIT < value < _WHOLE_LIMIT:
            return value
        raise _too_precise(path)
    if isinstance(value, Decimal):
        return _check_decimal(value, path)
    if depth == MAX_DEPTH:
        shown = _format_path(path)
        raise InvalidParams(f"{shown} is nested more than {MAX_DEPTH} levels deep", field=shown)
    if isinstance(value, dict):
        return {name: check_value(one, (path, name), depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [check_value(one, (path, number), depth + 1) for number, one in enumerate(value)]
    shown = _format_path(path)
    raise InvalidParams(f"{shown} is a {type(value).__name__}, which no record can hold", field=shown)


def _format_path(path: Path) -> str:
    if isinstance(path, str):
        return path
    holder, name = path
    return f"{_format_path(holder)}[{name}]" if isinstance(name, int) else f"{_format_path(holder)}.{name}"


def _check_decimal(value: Decimal, path: Path) -> int | Decimal:
    if not value.is_finite() or (value and not _SMALLEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT):
        shown = _format_path(path)
        raise InvalidParams(
            f"{shown} is out of range", field=shown, hint="numbers go from 1E-130 to 9.9E+125, and are kept exactly"
        )
    try:
        # The context limits the cost: the value may have a million digits.
        sign, digits, exponent = value.normalize(_EXACT).as_tuple()
    except Inexact:
        raise _too_precise(path) from None
    assert isinstance(exponent, int)
    if exponent >= 0 and len(digits) + exponent <= MAX_DIGITS:
        return int(value)
    return Decimal((sign, digits, exponent)) if value else 0


def _too_precise(path: Path) -> InvalidParams:
    shown = _format_path(path)
    return InvalidParams(
        f"{shown} has more than {MAX_DIGITS} digits", field=shown, hint="send it as text, or with fewer digits"
    )


def text_bytes(text: str) -> int:
    """Returns the size of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def document_bytes(item: Item) -> int:
    """Returns the size of an item as JSON, in less time than `item_bytes` takes."""
    return len(_encode(item))


def item_bytes(item: Item) -> int:
    """Returns the size of an item as DynamoDB counts it, accurate to a few bytes per member."""
    size = 0
    for name, value in item.items():
        size += len(name) if name.isascii() else len(name.encode())
        if type(value) is str:
            size += len(value) if value.isascii() else len(value.encode())
        elif type(value) is int:
            size += _NUMBER_BYTES
        else:
            size += _value_bytes(value)
    return size


def _value_bytes(value: Value) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, dict):
        return 3 + len(value) + item_bytes(value)
    if isinstance(value, list):
        return 3 + len(value) + sum(map(_value_bytes, value))
    return 1 if value is None or isinstance(value, bool) else _NUMBER_BYTES
