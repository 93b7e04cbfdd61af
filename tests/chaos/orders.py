"""The orders of the fault harness: each is known by its number, so what is stored can be compared."""

import random
from typing import Any

import msgspec

from shared.domain.orders import OrderRequest

_WORDS = ("pan", "agua", "queso", "café", "jalapeño", "naïve", "寿司", 'a "quoted" one', "back\\slash", "🫓")


def document(number: int) -> dict[str, Any]:
    """Order `number`. Odd ones carry a request_id, so that they can be sent again safely."""
    dice = random.Random(number)
    order: dict[str, Any] = {
        "cliente": f"customer-{number}",
        "productos": [_product(dice) for _ in range(dice.randint(1, 4))],
        "direccion": " ".join(dice.choices(_WORDS, k=3)),
    }
    if number % 2:
        order["request_id"] = f"order-{number}"
    if dice.random() < 0.1:
        order["prioridad"] = dice.choice(["alta", "baja"])
    if dice.random() < 0.05:
        order["no_antes_de"] = "2020-01-01T00:00:00Z"
    return order


def _product(dice: random.Random) -> str | dict[str, Any]:
    name = dice.choice(_WORDS)
    return name if dice.random() < 0.8 else {"producto": name, "cantidad": dice.randint(1, 9), "precio": "0.80"}


def keyed(number: int) -> bool:
    """Whether order `number` can be sent again safely."""
    return bool(number % 2)


def meaning(number: int) -> OrderRequest:
    """Order `number` as the value that the store should hold."""
    return msgspec.json.decode(msgspec.json.encode(document(number)), type=OrderRequest)
