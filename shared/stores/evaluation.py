"""Evaluation of actions on items, shared by all stores."""

from decimal import Context, Decimal, Inexact
from typing import Any

from shared.domain.errors import Conflict, InvalidParams
from shared.domain.names import fold_names
from shared.domain.records import (
    MAX_DIGITS,
    Action,
    Check,
    Condition,
    Delete,
    Item,
    Key,
    Put,
    Record,
    ReplyRoom,
    Table,
    Update,
    check_item,
    check_key,
    check_value,
    document_bytes,
    is_number,
)

_SUMS = Context(prec=MAX_DIGITS, traps=[Inexact])


def key_of(action: Action, table: Table) -> Key:
    """Returns the key of the item that an action affects. Raises InvalidParams."""
    if isinstance(action, Put):
        check_key(table, action.item)
        return action.item
    check_key(table, action.key, alone=True)
    return action.key


def check_room(action: Action, room: ReplyRoom | None) -> None:
    """Raises InvalidParams if a reply has no room for the item of an action, so that it is not even read."""
    if room is not None and room.left < 0 and isinstance(action, Update | Check):
        raise room.full_error()


def evaluate_action(
    action: Action, table: Table, current: Record | None, floor: int, room: ReplyRoom | None = None
) -> Record | None:
    """Returns the record after an action on `current`. Raises Conflict, and InvalidParams for an invalid item.

    The key of the action has been checked (`key_of`).
    `floor` is the highest version that may have been removed from the key; the version of a new item is higher. The
    items of updates and checks need `room`.
    """
    if action.when is not None:
        check_condition(action.when, table, current)
    version = (floor if current is None else current.version) + 1
    match action:
        case Check():
            if room is not None and current is not None:
                room.take(action, document_bytes(current.item))
            return current
        case Delete():
            return None
        case Put(item=item):
            return Record(check_item(table, _keep_names(table, item, current)), version)
        case Update():
            return Record(_apply_update(action, table, current, room), version)


def check_condition(condition: Condition, table: Table, current: Record | None) -> None:
    """Raises Conflict with the actual state unless the condition holds."""
    found: dict[str, Any] = {"version": 0 if current is None else current.version}
    if condition.exists is not None and condition.exists is (current is None):
        raise _conflict_error("there is no such item" if current is None else "the item is there already", table, found)
    if condition.version is not None and condition.version != found["version"]:
        raise _conflict_error(f"the item is of version {found['version']}, not {condition.version}", table, found)
    item = {} if current is None else current.item
    for name, value in condition.equal.items():
        if name not in item or not _is_equal(item[name], check_value(value, name)):
            raise _conflict_error(f"{name} is {_describe_member(item, name)}", table, found, name)
    for name in condition.absent:
        if name in item:
            raise _conflict_error(f"{name} is there already", table, found, name)
    for name, bound in condition.at_least.items():
        if _get_number(item, name, table) < _check_amount(bound, name):
            raise _conflict_error(f"{name} is less than {bound}", table, found, name)
    for name, bound in condition.at_most.items():
        if _get_number(item, name, table) > _check_amount(bound, name):
            raise _conflict_error(f"{name} is more than {bound}", table, found, name)


def _keep_names(table: Table, item: Item, current: Record | None) -> Item:
    """Returns the item with the spelling of the names in the stored item."""
    if current is None or not table.folded:
        return item
    for name in (table.partition, table.sort):
        if name in table.folded and item.get(name) != current.item[name]:
            return item | {name: current.item[name] for name in table.name_members}
    return item


def _apply_update(action: Update, table: Table, current: Record | None, room: ReplyRoom | None) -> dict[str, Any]:
    item = {**action.key, **action.create} if current is None else dict(current.item)
    item.update(action.set)
    for name in action.remove:
        item.pop(name, None)
    for name, amount in action.add.items():
        item[name] = _add_amount(_get_number(item, name, table), _check_amount(amount, name), name)
    for name, candidate in action.largest.items():
        larger = _check_amount(candidate, name)
        item[name] = max(_get_number(item, name, table), larger) if name in item else larger
    for name, key in action.key.items():
        if item.get(name) != key and not _is_key(table, name, item.get(name), key):
            raise InvalidParams(f"{name} is in the key and cannot be changed", field=name)
    checked = check_item(table, _keep_names(table, item, current))
    if room is not None:
        room.take(action, document_bytes(checked))
    return checked


def _add_amount(number: int | Decimal, amount: int | Decimal, name: str) -> int | Decimal:
    if type(number) is int and type(amount) is int:
        # Too many digits are an error of `check_item`.
        return number + amount
    try:
        return _SUMS.add(Decimal(number), Decimal(amount))
    except Inexact:
        raise InvalidParams(f"{name} would have more than {MAX_DIGITS} digits", field=name) from None


def _is_key(table: Table, name: str, value: Any, key: Any) -> bool:
    """Whether a member equals the value of the key, or is another spelling of the same name."""
    if value == key:
        return True
    return name in table.folded and isinstance(value, str) and fold_names(value) == fold_names(key)


def _get_number(item: dict[str, Any], name: str, table: Table) -> int | Decimal:
    value = item.get(name, 0)
    if not is_number(value):
        raise InvalidParams(f"{name} of this item of {table.name} is not a number", field=name)
    return value


def _check_amount(value: Any, name: str) -> int | Decimal:
    if not is_number(value):
        raise InvalidParams(f"{name} must be a number", field=name)
    check_value(value, name)
    return value


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two values are equal; true is not equal to 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _describe_member(item: dict[str, Any], name: str) -> str:
    return "another" if name in item else "missing"


def _conflict_error(reason: str, table: Table, found: dict[str, Any], field: str | None = None) -> Conflict:
    return Conflict(f"{table.name}: {reason}", field=field, hint="read the item again, and decide anew", details=found)
