"""Conversion between Python values and DynamoDB's attribute values.

Numbers are converted exactly in both directions: whole ones to `int`, all others to `Decimal`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

AttributeValue = dict[str, Any]


def to_item(members: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Converts an item to DynamoDB's format."""
    return {name: to_value(value) for name, value in members.items()}


def from_item(item: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """Converts an item from DynamoDB's format."""
    return {name: from_value(value) for name, value in item.items()}


def to_value(value: Any) -> AttributeValue:
    """Converts one value. Raises TypeError for a type that attributes cannot hold."""
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
    """Returns the value of an attribute."""
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
