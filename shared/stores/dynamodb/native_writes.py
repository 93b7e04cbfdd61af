"""Actions that DynamoDB evaluates itself, on the state that an item has when it is written.

An action of a transaction is usually evaluated on the item that was read before, and written on the condition that
nobody has changed the item since. Of a hundred buyers of one book only one can succeed in each round of that. The
actions here need no item: conditions are expressions, counters are added to. For example

    Update("Stock", {store, item}, add={"count": -1}, when=Condition(at_least={"count": 1}))

becomes `SET version = version + 1 ADD count -1` if `count >= 1`, which holds whatever others have taken meanwhile.
DynamoDB refuses a sum of more than 38 digits, as the evaluation does:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
"""

import math
import time
from typing import Any, Final

from shared.domain.errors import InvalidParams
from shared.domain.records import (
    RESERVED,
    Action,
    Check,
    Condition,
    Delete,
    Put,
    Table,
    Update,
    Value,
    check_value,
    is_number,
)
from shared.stores.dynamodb.items import EXPIRES, GONE, VERSION, WRITE, raw_key, removed_item
from shared.stores.dynamodb.values import to_value

MAX_MEMBERS: Final = 40
"""Members that an action may name. An expression of DynamoDB has at most 4 KB, and 300 operators."""


class _Expressions:
    """Placeholders of the names and values in the expressions of one action."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, member: str) -> str:
        """Returns the placeholder of a member."""
        return self._names.setdefault(member, f"#{len(self._names)}")

    def value(self, value: Value) -> str:
        """Returns the placeholder of a value. Raises InvalidParams for one that no item can hold."""
        placeholder = f":{len(self._values)}"
        self._values[placeholder] = to_value(check_value(value, "value"))
        return placeholder

    def amount(self, value: Value) -> str:
        """Returns the placeholder of a number. Raises InvalidParams."""
        if not is_number(value):
            raise InvalidParams("the value must be a number")
        return self.value(value)

    def attributes(self) -> dict[str, Any]:
        """Returns the members of a request that explain the placeholders."""
        found: dict[str, Any] = {"ExpressionAttributeNames": {short: name for name, short in self._names.items()}}
        return found | ({"ExpressionAttributeValues": self._values} if self._values else {})


def is_new(action: Action) -> bool:
    """Whether an action only succeeds if there is no item."""
    return isinstance(action, Put) and action.when == Condition(exists=False)


def native_request(action: Action, table: Table, partition: str, sort: str, token: str) -> dict[str, Any] | None:
    """Returns the request of an action in a transaction, except for the name of its table.

    Returns None for an action that needs the item: one that may create it, or change a member of an index, and any
    that is not valid, whose error the evaluation on the item reports. `token` becomes the token of the item's write.
    """
    if table.own_key or action.when is None or action.when.exists is False or action.when.version == 0:
        return None
    try:
        match action:
            case Check():
                request = _check_request(action.when, table)
            case Update() if _is_native_update(action, table):
                request = _update_request(action, action.when, table, token)
            case Delete() if table.expires is not None and action.when.version is not None:
                return _delete_request(action.when, action.when.version, table, partition, sort, token)
            case _:
                return None
    except InvalidParams:
        return None
    ((kind, members),) = request.items()
    return {kind: {**members, "Key": raw_key(table, partition, sort)}}


def _is_native_update(action: Update, table: Table) -> bool:
    members = [*action.set, *action.remove, *action.add]
    indexed = {name for index in table.indexes for name in (index.partition, index.sort)}
    fixed = {table.partition, table.sort, table.expires, *indexed}
    return (
        not action.largest
        and len(set(members)) == len(members) <= MAX_MEMBERS
        and fixed.isdisjoint(members)
        and all(name and not name.startswith(RESERVED) for name in members)
    )


def _check_request(condition: Condition, table: Table) -> dict[str, Any]:
    names = _Expressions()
    expression = _condition_expression(condition, table, names)
    return {"ConditionCheck": {"ConditionExpression": expression, **names.attributes()}}


def _delete_request(
    condition: Condition, version: int, table: Table, partition: str, sort: str, token: str
) -> dict[str, Any]:
    """Returns the request that replaces an item by its mark (`items.GONE`)."""
    names = _Expressions()
    expression = _condition_expression(condition, table, names)
    mark = removed_item(table, partition, sort, version, token)
    return {"Put": {"Item": mark, "ConditionExpression": expression, **names.attributes()}}


def _update_request(action: Update, condition: Condition, table: Table, token: str) -> dict[str, Any]:
    names = _Expressions()
    version = names.name(VERSION)
    sets = [f"{version} = {version} + {names.value(1)}", f"{names.name(WRITE)} = {names.value(token)}"]
    sets += [f"{names.name(member)} = {names.value(value)}" for member, value in action.set.items()]
    update = f"SET {', '.join(sets)}"
    if action.remove:
        update += f" REMOVE {', '.join(map(names.name, action.remove))}"
    if action.add:
        update += f" ADD {', '.join(f'{names.name(member)} {names.amount(by)}' for member, by in action.add.items())}"
    expression = _condition_expression(condition, table, names)
    return {"Update": {"UpdateExpression": update, "ConditionExpression": expression, **names.attributes()}}


def _condition_expression(condition: Condition, table: Table, names: _Expressions) -> str:
    """Returns the expression of a condition, and that there is a live item."""
    if len(condition.equal) + len(condition.absent) + len(condition.at_least) + len(condition.at_most) > MAX_MEMBERS:
        raise InvalidParams("the condition has too many members")
    gone = names.name(GONE)
    live = f"attribute_not_exists({gone})"
    if table.expires is not None:
        # GONE is rounded up. In its last second an item is read first, so that its expiry is exact.
        soon = names.value(math.ceil(time.time()) + 1)
        live = f"({live} OR (attribute_exists({names.name(EXPIRES)}) AND {gone} >= {soon}))"
    version = names.name(VERSION)
    terms = [f"attribute_exists({version})", live]
    if condition.version is not None:
        terms.append(f"{version} = {names.amount(condition.version)}")
    terms += [f"{names.name(member)} = {names.value(value)}" for member, value in condition.equal.items()]
    terms += [f"attribute_not_exists({names.name(member)})" for member in condition.absent]
    for bounds, sign in ((condition.at_least, ">="), (condition.at_most, "<=")):
        for member, bound in bounds.items():
            name, amount = names.name(member), names.amount(bound)
            # A missing member counts as 0.
            holds = bound <= 0 if sign == ">=" else bound >= 0
            term = f"{name} {sign} {amount}"
            terms.append(f"(attribute_not_exists({name}) OR {term})" if holds else term)
    return " AND ".join(terms)
