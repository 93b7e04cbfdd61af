"""What a record is: tables with their keys, the values that an item may hold, and how items are changed.

Shaped like DynamoDB, and with its limits, so that nothing works on one store only:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from shared.domain.errors import InvalidParams
from shared.domain.names import fold_names

Value = Any
"""Text, a number (`int` or `Decimal`), true, false, null, or a list or an object of these."""
Item = dict[str, Value]

MAX_ITEM_BYTES = 400 * 1024
MAX_ACTIONS = 100
MAX_DIGITS = 38
MAX_DEPTH = 32
MAX_PARTITION_BYTES = 1024
MAX_SORT_BYTES = 512
RESERVED = "comanda:"
"""Members whose names begin so are the stores' own."""

_SMALLEST_EXPONENT = -130
_LARGEST_EXPONENT = 125
_WHOLE_LIMIT = 10**MAX_DIGITS
_EXACT = Context(prec=MAX_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


class Index(Struct, frozen=True):
    """A second order of a table: items that have the member `sort`, in its order.

    Without `partition` an index goes over all items of a tenant. One that is `rare` is seldom asked and need not
    be kept up with every write where reading through the table serves as well.
    """

    name: str
    sort: str
    partition: str | None = None
    rare: bool = False


class Table(Struct, frozen=True):
    """Items with a key of one or two members, which are text unless they are among `numbers`.

    Members among `folded` are names: keys are made of their normal form (`shared.domain.names`), so an item is found
    by every spelling of its name. It keeps the spelling with which it was made.
    """

    name: str
    partition: str
    sort: str | None = None
    numbers: frozenset[str] = frozenset()
    folded: frozenset[str] = frozenset()
    indexes: tuple[Index, ...] = ()
    feed: bool = True
    """Whether its changes are kept for `changes`."""
    own_key: bool = False
    """Whether its items are of one tenant, so that stores whose tables others read can keep them under `partition`."""

    @property
    def names(self) -> list[str]:
        """Members of the key that are names."""
        return [name for name in (self.partition, self.sort) if name is not None and name in self.folded]

    @property
    def kept_indexes(self) -> list[Index]:
        """Those that are kept up with every write on every store."""
        return [index for index in self.indexes if not index.rare]

    def index(self, name: str) -> Index:
        """The index of this name. Raises InvalidParams."""
        for index in self.indexes:
            if index.name == name:
                return index
        known = ", ".join(index.name for index in self.indexes) or "none"
        raise InvalidParams(f"{self.name} has no index {name}", field="index", hint=f"its indexes: {known}")


Tenant = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""Whose items; nobody sees or touches another tenant's."""

Key = Mapping[str, Value]
"""The members of a table's key with their values."""


class Condition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What has to hold of an item for a change to be made; everything that is said has to hold."""

    exists: bool | None = None
    version: int | None = None
    """The item is of this version; 0 is one that is not there."""
    equal: dict[str, Value] = {}
    at_least: dict[str, Value] = {}
    at_most: dict[str, Value] = {}
    absent: list[str] = []
    """Members that it does not have."""


class Put(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="put"):
    """Stores an item in the place of what was there."""

    table: str
    item: Item
    when: Condition | None = None


class Delete(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="delete"):
    """Removes an item, if it is there."""

    table: str
    key: dict[str, Value]
    when: Condition | None = None


class Update(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="update"):
    """Changes members of an item, which is made where there is none."""

    table: str
    key: dict[str, Value]
    set: dict[str, Value] = {}
    remove: list[str] = []
    add: dict[str, Value] = {}
    """Counters: a member that is missing counts as 0."""
    largest: dict[str, Value] = {}
    """Members that only grow: the larger of the two is kept."""
    when: Condition | None = None
    create: dict[str, Value] = {}
    """Members that a new item gets; one that is there already is left as it is."""


class Check(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="check"):
    """Changes nothing; its condition has to hold for the rest of the transaction."""

    table: str
    key: dict[str, Value]
    when: Condition


Action = Put | Delete | Update | Check


class Transaction(NamedTuple):
    """Actions on up to 100 different items that take effect together or not at all.

    The item of `journal` is put in the same commit, before them, and also where their conditions refuse
    them: so that what was tried is on record.
    """

    tenant: str
    actions: list[Action]
    journal: Put | None = None


class Record(NamedTuple):
    """An item as it is stored; each change of it counts `version` up.

    The first version of a key is 1, or behind every version that was removed from it (`shared.domain.tables.REMOVALS`),
    so a version of a key never stands for two contents.
    """

    item: Item
    version: int


class Written(NamedTuple):
    """What an action found, and what it left; the same twice for a check."""

    old: Record | None
    new: Record | None


def check_item(table: Table, item: Item) -> Item:
    """The item as every store keeps it: numbers in one form. Raises InvalidParams naming the member."""
    for name in (table.partition, table.sort):
        if name is not None and name not in item:
            raise InvalidParams(f"{name} is missing: it is in the key of {table.name}", field=name)
    checked = {name: check_value(value, name) for name, value in item.items()}
    for name in item:
        if not name or name.startswith(RESERVED):
            raise InvalidParams(f"{name!r} cannot be the name of a member", field=name, hint="choose another")
    check_key(table, checked)
    for index in table.indexes:
        for name in (index.partition, index.sort):
            if name in checked and name not in (None, table.partition, table.sort):
                _check_key_value(table, name, checked[name])
    size = item_bytes(checked)
    if size > MAX_ITEM_BYTES:
        raise InvalidParams(
            f"the item has {size} bytes, and an item has at most {MAX_ITEM_BYTES}", hint="store it in parts"
        )
    return checked


def check_key(table: Table, key: Key, *, alone: bool = False) -> None:
    """Raises InvalidParams unless the members of the key are there and fit; `alone`, nothing else may be."""
    names = [table.partition] if table.sort is None else [table.partition, table.sort]
    for name in names:
        if name not in key:
            raise InvalidParams(f"{name} is missing: the key of {table.name} is {', '.join(names)}", field=name)
        _check_key_value(table, name, key[name])
    if alone and len(key) > len(names):
        odd = next(name for name in key if name not in names)
        raise InvalidParams(f"{odd} is not in the key of {table.name}", field=odd, hint=f"its key: {', '.join(names)}")


def _check_key_value(table: Table, name: str, value: Value) -> None:
    if name in table.numbers:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise InvalidParams(f"{name} must be a number", field=name)
        check_value(value, name)
    else:
        limit = MAX_PARTITION_BYTES if name == table.partition else MAX_SORT_BYTES
        if not isinstance(value, str) or not value:
            raise InvalidParams(f"{name} must be text that is not empty", field=name)
        size = len(value.encode())
        if name in table.folded:
            folded = fold_names(value)
            if not folded:
                raise InvalidParams(f"{name} has no visible character", field=name)
            size = max(size, len(folded.encode()))
        if size > limit:
            raise InvalidParams(f"{name} has more than {limit} bytes", field=name)


Path = tuple[Any, ...] | str
"""Where a value stands: a name, or the path of what holds it and a name or a number; cheap until it is shown."""


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
        shown = _shown(path)
        raise InvalidParams(f"{shown} is nested more than {MAX_DEPTH} levels deep", field=shown)
    if isinstance(value, dict):
        return {name: check_value(one, (path, name), depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [check_value(one, (path, number), depth + 1) for number, one in enumerate(value)]
    shown = _shown(path)
    raise InvalidParams(f"{shown} is a {type(value).__name__}, which no record can hold", field=shown)


def _shown(path: Path) -> str:
    if isinstance(path, str):
        return path
    holder, name = path
    return f"{_shown(holder)}[{name}]" if isinstance(name, int) else f"{_shown(holder)}.{name}"


def _check_decimal(value: Decimal, path: Path) -> int | Decimal:
    if not value.is_finite() or (value and not _SMALLEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT):
        shown = _shown(path)
        raise InvalidParams(
            f"{shown} is out of range", field=shown, hint="numbers go from 1E-130 to 9.9E+125, and are kept exactly"
        )
    try:
        # In the context's own time: a text of a million digits is one number, too.
        sign, digits, exponent = value.normalize(_EXACT).as_tuple()
    except Inexact:
        raise _too_precise(path) from None
    assert isinstance(exponent, int)
    if exponent >= 0 and len(digits) + exponent <= MAX_DIGITS:
        return int(value)
    return Decimal((sign, digits, exponent)) if value else 0


def _too_precise(path: Path) -> InvalidParams:
    shown = _shown(path)
    return InvalidParams(
        f"{shown} has more than {MAX_DIGITS} digits", field=shown, hint="send it as text, or with fewer digits"
    )


def text_bytes(text: str) -> int:
    """Returns the size of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def item_bytes(item: Item) -> int:
    """The size of an item as DynamoDB counts it, to within a few bytes a member."""
    size = 0
    for name, value in item.items():
        size += text_bytes(name)
        if isinstance(value, str):
            size += text_bytes(value)
        else:
            size += _value_bytes(value)
    return size


def _value_bytes(value: Value) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, dict):
        return 3 + sum(1 + len(name.encode()) + _value_bytes(one) for name, one in value.items())
    if isinstance(value, list):
        return 3 + sum(1 + _value_bytes(one) for one in value)
    # Numbers take up to 21 bytes, everything else one.
    return 1 if value is None or isinstance(value, bool) else 21
