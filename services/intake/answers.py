"""The answers to a batch of orders, from what became of it."""

from collections.abc import Sequence

from msgspec import UNSET

from services.intake.order_lifecycle import OrderLifecycle
from shared.domain.errors import ComandaError, Conflict, QueueFull
from shared.domain.ids import id_prefix
from shared.domain.orders import OrderRequest, due_time
from shared.domain.states import State
from shared.stores.ports.orders import Acceptance, ExistingOrder
from shared.wire.replies import encode_json, error_reply, success_reply

_SAME_MS = 50.0
_MIN_GROUP = 16
_ACCEPTED = f'{{"success":true,"id":"%s%012x","estado":"{State.QUEUED}","posicion":%d,"espera_ms":%d}}'


def accepted_texts(acceptance: Acceptance, *, ahead: int, places: int, per_order_ms: float) -> list[str]:
    """Returns the answers to the new orders of a batch, in order.

    `ahead` is the number of orders that were open before them, `places` how many can be at work at a time,
    and `per_order_ms` by how much one order without a place makes those behind it wait.
    """
    order_range = acceptance.orders
    prefix = id_prefix(order_range.received, order_range.node)
    count = order_range.count
    # Orders within that time get one wait, since the estimate is not more exact: a group costs less than half.
    group = count if count * per_order_ms < _SAME_MS else int(_SAME_MS / per_order_ms)
    if group < min(_MIN_GROUP, count):
        return [
            _ACCEPTED
            % (prefix, order_range.first + index, ahead + index + 1, max(ahead + index - places, 0) * per_order_ms)
            for index in range(count)
        ]
    texts: list[str] = []
    for start in range(0, count, group or 1):
        stop = min(start + group, count)
        wait = int(max(ahead + (start + stop) // 2 - places, 0) * per_order_ms)
        accepted = f'{{"success":true,"id":"{prefix}%012x","estado":"{State.QUEUED}","posicion":%d,"espera_ms":{wait}}}'
        sequences = range(order_range.first + start, order_range.first + stop)
        positions = range(ahead + start + 1, ahead + stop + 1)
        texts += [accepted % pair for pair in zip(sequences, positions, strict=True)]
    return texts


def batch_texts(
    requests: Sequence[OrderRequest], acceptance: Acceptance, accepted: list[str], lifecycle: OrderLifecycle, now: float
) -> list[str]:
    """Returns the answer to every order of a batch, in order."""
    texts: list[str] = []
    fresh = iter(zip(acceptance.accepted, accepted, strict=True))
    following = next(fresh, None)
    for index, request in enumerate(requests):
        request_id = None if request.request_id is UNSET else request.request_id
        if following is not None and following[0] == index:
            text = following[1]
            if (due := due_time(request)) is not None:
                text = _not_before(text, (due - acceptance.orders.received) // 1000)
            if request_id is not None:
                text = f'{text[:-1]},"request_id":{encode_json(request_id).decode()}}}'
            texts.append(text)
            following = next(fresh, None)
        elif (existing := acceptance.existing.get(index)) is not None:
            texts.append(_existing_text(existing, request_id))
        elif acceptance.refused is not None:
            texts.append(refusal_text(acceptance.refused, request_id))
        else:
            retry_after_ms = lifecycle.retry_after_ms(now)
            full = QueueFull(
                f"{lifecycle.open} orders are open already",
                hint=f"come back in {retry_after_ms} ms; the limit is the setting MAX_PEDIDOS_EN_COLA",
                details={"depth": lifecycle.open, "limit": lifecycle.limit, "retry_after_ms": retry_after_ms},
            )
            texts.append(refusal_text(full, request_id))
    return texts


def _not_before(text: str, wait_ms: int) -> str:
    """The answer to an order that may not start for so long, whatever else there is."""
    head, _, wait = text.removesuffix("}").rpartition(":")
    return f"{head}:{max(int(wait), wait_ms)}}}"


def refusal_text(error: ComandaError, request_id: str | int | None) -> str:
    """The answer to an order that was not stored."""
    return encode_json(error_reply(error, request_id)).decode()


def _existing_text(existing: ExistingOrder, request_id: str | int | None) -> str:
    if existing.same:
        members = {"id": existing.id, "estado": existing.state.value, "duplicate": True}
        return encode_json(success_reply(members, request_id)).decode()
    conflict = Conflict(
        "another order was sent under this request_id",
        field="request_id",
        hint="use a new request_id for a new order",
        details={"id": existing.id},
    )
    return refusal_text(conflict, request_id)
