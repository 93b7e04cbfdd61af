"""What `help` says."""

from typing import Any

from shared.wire.orders import EXAMPLE

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


def help_lines() -> list[str]:
    """The general help."""
    return _HELP.splitlines()


def order_help() -> dict[str, Any]:
    """Help on orders, with an example to paste."""
    return {"help": _ORDER_HELP.splitlines(), "example": EXAMPLE}
