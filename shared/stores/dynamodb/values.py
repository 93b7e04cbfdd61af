"""Python values as DynamoDB's attribute values, and back.

Numbers are exact both ways: whole ones as `int`, all others as `Decimal`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

AttributeValue = dict[str, Any]


def to_item(members: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """An item as DynamoDB takes it."""
    return {name: to_value(value) for name, value in members.items()}


def from_item(item: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """An item as DynamoDB gave it."""
    return {name: from_value(value) for name, value in item.items()}


def to_value(value: Any) -> AttributeValue:
    """One value. Raises TypeError for what no attribute can hold."""
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case bytes():
            return {"B": value}
        case list() | tuple():
            return {"L": [to_value(one) for one in value]}
        case dict():
            return {"M": to_item(value)}
    raise TypeError(f"{type(value).__name__} is nothing that DynamoDB can hold")


def from_value(value: AttributeValue) -> Any:
    """The value that an attribute holds."""
    ((kind, held),) = value.items()
    match kind:
        case "S" | "BOOL" | "B":
            return held
        case "N":
            number = Decimal(held)
            return int(number) if number == number.to_integral_value() and number.copy_abs() < _BIG else number
        case "NULL":
            return None
        case "L":
            return [from_value(one) for one in held]
        case "M":
            return from_item(held)
    raise TypeError(f"attributes of type {kind} are not used here")


# Whole numbers up to the 38 digits that DynamoDB keeps.
_BIG = Decimal(10) ** 38
