"""What `help` says."""

from typing import Any

import msgspec

from shared.domain.errors import InvalidParams
from shared.wire.orders import EXAMPLE
from shared.wire.replies import encode_json

_ORDER_TOPICS = ("order", "pedido")

_HELP = """\
Paste an order as JSON, on one line or many; the answer comes when it is on disk.
help order          an example, and what its fields mean
status ID           one order
explain ID          what happened to it, and when
list [ESTADO] [cliente=NAME] [limite=N]   newest first, as in: list en_proceso limite=5
watch [ID]          every change of state, of all orders or of one; unwatch ends it
cancel ID           takes back an order that is en cola, discards one that is fallido
retry ID            one more attempt for an order that is fallido
stats               numbers
health, ping        is everything well?
metrics             the same for Prometheus
quit                ends the connection
Each verb is an action, too: {"action":"status","id":ID}"""

_ORDER_HELP = """\
cliente       who orders: text
productos     what: names, or objects with producto, cantidad (1) and precio (optional)
direccion     where to: text
request_id    optional: sent again under the same request_id, an order is stored once
client_id     optional: whose the request_id is; others may use the same one
prioridad     optional: alta, normal or baja
no_antes_de   optional: a time such as 2030-01-31T08:00:00Z before which it is not begun"""


def help_members(topic: str | None) -> dict[str, Any]:
    """Returns the members of the answer to the action `help`. Raises InvalidParams for a topic that is none."""
    if topic is None:
        return {"help": _HELP.splitlines()}
    if topic.lower() in _ORDER_TOPICS:
        return {"help": _ORDER_HELP.splitlines(), "example": EXAMPLE}
    raise InvalidParams(f"there is no help on {topic!r}", field="topic", hint="try: help, or help order")


def help_text(topic: str | None) -> list[str]:
    """Returns the lines that the line `help` is answered with. Raises InvalidParams for a topic that is none."""
    members = help_members(topic)
    lines: list[str] = members["help"]
    if "example" not in members:
        return lines
    # Over many lines, as it can be pasted.
    example = msgspec.json.format(encode_json(members["example"]), indent=2).decode()
    return [*lines, "For example:", *example.splitlines()]
