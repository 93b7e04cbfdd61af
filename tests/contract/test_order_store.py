"""What every adapter does, in the domain's words."""

import pytest

from shared.domain.errors import NotFound
from shared.domain.ids import OrderRange
from shared.domain.orders import FailedAttempt, Priority
from shared.domain.states import State
from shared.stores.ports.orders import (
    Cancellation,
    Claim,
    Done,
    Failure,
    HandBack,
    OpenRange,
    OrderListQuery,
    OrderStore,
    WorkStore,
)
from tests.contract.conftest import Adapter
from tests.support.orders import accept, ids, request, ticket

NOW = 5_000_000


async def states(orders: OrderStore, order_range: OrderRange) -> list[State]:
    found = [await orders.get(order_id) for order_id in order_range.ids()]
    return [order.state for order in found if order is not None]


async def begin(work: WorkStore, order_range: OrderRange, attempt: int = 1, worker: str = "w1") -> list[Claim]:
    return (await work.advance(worker, tickets=[ticket(order_range, attempt)], now=NOW)).claims


# Accepting.


async def test_accepted_orders_are_there_as_they_were_sent(orders: OrderStore) -> None:
    sent = [request("Ana"), request("Börje", productos=["a", {"producto": "b", "cantidad": 2, "precio": "1.10"}])]
    order_range = (await accept(orders, *sent)).orders
    for order_id, one in zip(ids(order_range), sent, strict=True):
        order = await orders.get(order_id)
        assert order is not None
        assert (order.id, order.request, order.state, order.received) == (order_id, one, State.QUEUED, 1_000_000)


async def test_ids_of_later_orders_sort_behind(orders: OrderStore) -> None:
    first = (await accept(orders, request(), request(), at=1_000_000)).orders
    second = (await accept(orders, request(), at=2_000_000)).orders
    assert ids(first) + ids(second) == sorted(ids(first) + ids(second))


async def test_no_more_is_accepted_than_there_is_room_for(orders: OrderStore) -> None:
    acceptance = await accept(orders, *(request(str(number)) for number in range(5)), room=3)
    assert list(acceptance.accepted) == [0, 1, 2]
    assert acceptance.orders.count == 3
    assert (await accept(orders, request(), room=0)).orders.count == 0


async def test_retry_under_a_request_id_finds_the_first_order_and_needs_no_room(orders: OrderStore) -> None:
    order_range = (await accept(orders, request(request_id="r1"))).orders
    again = await accept(orders, request(request_id="r1"), room=0)
    assert (again.orders.count, again.existing[0]) == (0, (ids(order_range)[0], State.QUEUED, True))


async def test_other_order_under_a_request_id_is_a_conflict(orders: OrderStore) -> None:
    await accept(orders, request("Ana", request_id=7))
    assert not (await accept(orders, request("Eva", request_id="7"))).existing[0].same


async def test_retries_within_one_batch_are_found(orders: OrderStore) -> None:
    one = request(request_id="r1")
    acceptance = await accept(orders, request("x"), one, one, request("Eva", request_id="r1"), request("y"))
    assert list(acceptance.accepted) == [0, 1, 4]
    assert acceptance.existing[2] == (ids(acceptance.orders)[1], State.QUEUED, True)
    assert not acceptance.existing[3].same


async def test_request_id_of_another_client_is_another_key(orders: OrderStore) -> None:
    sent = [
        request("Ana", request_id=1, client_id="till 1"),
        request("Eva", request_id="1", client_id="till 2"),
        request("Zoe", request_id=1),
        request("Lea", request_id="\x1ftill 1\x1f1"),
    ]
    together = await accept(orders, *sent)
    assert (together.orders.count, dict(together.existing)) == (4, {})
    for place, one in enumerate(sent):
        again = await accept(orders, one)
        assert dict(again.existing) == {0: (ids(together.orders)[place], State.QUEUED, True)}
    conflict = await accept(orders, request("Eva", request_id=1, client_id="till 1"))
    assert conflict.existing[0] == (ids(together.orders)[0], State.QUEUED, False)


async def test_request_id_may_be_used_again_once_it_has_expired(adapter: Adapter) -> None:
    orders = await adapter.orders(request_id_seconds=10)
    await orders.recover()
    one, other = request("Ana", request_id="k"), request("Eva", request_id="k")
    first = (await accept(orders, one, at=1_000_000)).orders
    assert (await accept(orders, one, at=10_999_999)).existing[0].id == ids(first)[0]
    second = await accept(orders, request(), other, other, at=11_000_000)
    assert (second.orders.count, second.existing[2]) == (2, (ids(second.orders)[1], State.QUEUED, True))
    assert (await accept(orders, other, at=12_000_000)).existing[0].id == ids(second.orders)[1]
    assert not (await accept(orders, one, at=12_000_000, room=0)).existing[0].same
    for order_range, sent in ((first, one), (second.orders, request())):
        order = await orders.get(ids(order_range)[0])
        assert order is not None
        assert order.request == sent


async def test_request_id_without_an_expiry_stands_for_its_order_for_ever(orders: OrderStore) -> None:
    one = request(request_id="k")
    order_range = (await accept(orders, one, at=1)).orders
    assert (await accept(orders, one, at=10**15)).existing[0].id == ids(order_range)[0]


async def test_unknown_id_is_nobody(orders: OrderStore) -> None:
    order_range = (await accept(orders, request())).orders
    other = next(OrderRange(order_range.received + 1000, order_range.node, order_range.first, 1).ids())
    for order_id in (
        "nope",
        other,
        next(OrderRange(order_range.received, order_range.node ^ 1, order_range.first, 1).ids()),
    ):
        assert await orders.get(order_id) is None


# Working.


async def test_order_is_begun_and_finished_with_its_times(orders: OrderStore, work: WorkStore) -> None:
    sent = [request("Ana"), request("Eva")]
    order_range = (await accept(orders, *sent)).orders
    (claim,) = await begin(work, order_range)
    assert (claim.ticket, claim.failures, len(claim.documents)) == (ticket(order_range), 0, 2)
    assert await states(orders, order_range) == [State.RUNNING] * 2
    advance = await work.advance("w1", done=[Done(order_range.first, 1, NOW + 9)], now=NOW)
    assert not advance.lost
    order = await orders.get(ids(order_range)[0])
    assert order is not None
    assert (order.state, order.attempt, order.worker) == (State.DONE, 1, "w1")
    assert (order.stored, order.queued, order.started, order.finished) == (1_001_000, 1_002_000, NOW, NOW + 9)


async def test_results_and_new_claims_go_together(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, *(request(str(n)) for n in range(4)))).orders
    await begin(work, OrderRange(order_range.received, order_range.node, order_range.first, 2))
    rest = OrderRange(order_range.received, order_range.node, order_range.first + 2, 2)
    advance = await work.advance(
        "w1",
        done=[Done(order_range.first, 1, NOW)],
        failures=[Failure(order_range.first + 1, 1, NOW, "no flour", None)],
        tickets=[ticket(rest)],
        now=NOW,
    )
    assert [claim.ticket.orders for claim in advance.claims] == [rest]
    assert await states(orders, order_range) == [State.DONE, State.FAILED, State.RUNNING, State.RUNNING]
    failed = await orders.get(ids(order_range)[1])
    assert failed is not None
    assert failed.detail == "no flour"


async def test_order_cannot_be_begun_twice(orders: OrderStore, work: WorkStore, adapter: Adapter) -> None:
    order_range = (await accept(orders, request(), request())).orders
    await begin(work, order_range)
    other = await adapter.work()
    advance = await other.advance("w2", tickets=[ticket(order_range)], now=NOW)
    assert (advance.claims, advance.refused) == ([], [order_range])


async def test_cancelled_order_is_left_out_of_its_run(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, *(request(str(n)) for n in range(3)))).orders
    assert await orders.cancel(ids(order_range)[1]) == Cancellation(State.QUEUED)
    advance = await work.advance("w1", tickets=[ticket(order_range)], now=NOW)
    assert [claim.ticket.orders.first for claim in advance.claims] == [order_range.first, order_range.first + 2]
    assert [len(claim.documents) for claim in advance.claims] == [1, 1]
    assert [left.first for left in advance.refused] == [order_range.first + 1]
    assert await states(orders, order_range) == [State.RUNNING, State.CANCELLED, State.RUNNING]


async def test_failed_attempt_goes_back_and_the_next_knows_of_it(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request())).orders
    await begin(work, order_range)
    await work.advance("w1", failures=[Failure(order_range.first, 1, NOW, "busy", NOW + 10)], now=NOW)
    assert await states(orders, order_range) == [State.QUEUED]
    assert (await work.advance("w1", tickets=[ticket(order_range, 1)], now=NOW)).claims == []
    (claim,) = await begin(work, order_range, attempt=2)
    assert claim.failures == 1


async def test_note_of_an_order_that_is_done_is_its_detail(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request(), request(), request())).orders
    await begin(work, order_range)
    failed = Failure(order_range.first + 2, 1, NOW, "no flour", NOW)
    done = [Done(order_range.first, 1, NOW, "not stocked: a"), Done(order_range.first + 1, 1, NOW)]
    assert not (await work.advance("w1", done=done, failures=[failed], now=NOW)).lost
    await begin(work, OrderRange(order_range.received, order_range.node, order_range.first + 2, 1), attempt=2)
    await work.advance("w1", done=[Done(order_range.first + 2, 2, NOW)], now=NOW)
    found = [await orders.get(order_id) for order_id in order_range.ids()]
    assert [one and (one.state, one.detail) for one in found] == [
        (State.DONE, "not stocked: a"),
        (State.DONE, None),
        (State.DONE, "no flour"),
    ]


async def test_result_of_an_older_attempt_is_fenced_off(orders: OrderStore, work: WorkStore, adapter: Adapter) -> None:
    order_range = (await accept(orders, request(), request())).orders
    await begin(work, order_range)
    await orders.rescue([ticket(order_range)], poison=9)
    stale = Failure(order_range.first + 1, 1, NOW, "late", None)
    advance = await work.advance("w1", done=[Done(order_range.first, 1, NOW)], failures=[stale], now=NOW)
    assert advance.lost == {order_range.first, order_range.first + 1}
    await begin(await adapter.work(), order_range, attempt=2, worker="w2")
    assert (await work.advance("w1", done=[Done(order_range.first, 1, NOW)], now=NOW)).lost == {order_range.first}
    assert await states(orders, order_range) == [State.RUNNING] * 2


async def test_handed_back_order_is_begun_again_and_has_not_failed(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request())).orders
    await begin(work, order_range)
    await work.advance("w1", handed_back=[HandBack(order_range.first, 1)], now=NOW)
    assert await states(orders, order_range) == [State.QUEUED]
    assert (await begin(work, order_range, attempt=2))[0].failures == 0


# What failed attempts leave behind.


async def test_failed_attempts_are_kept_with_their_errors_and_the_oldest_are_forgotten(
    adapter: Adapter, orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, request(), request())).orders
    failed, fine = ids(order_range)
    assert await orders.attempts(failed) == []
    for attempt in (1, 2, 3):
        await begin(work, OrderRange(order_range.received, order_range.node, order_range.first, 1), attempt)
        failure = Failure(
            order_range.first,
            attempt,
            NOW + attempt,
            f"no. {attempt}",
            NOW,
            "kitchen.py:7 cook",
            "where it was",
            attempt - 1,
        )
        await work.advance("w1", failures=[failure], now=NOW)
    kept = [
        FailedAttempt(attempt, NOW + attempt, f"no. {attempt}", "kitchen.py:7 cook", "where it was")
        for attempt in (2, 3)
    ]
    assert await orders.attempts(failed) == kept
    await begin(work, OrderRange(order_range.received, order_range.node, order_range.first, 1), 4)
    await work.advance(
        "w1", failures=[Failure(order_range.first, 4, NOW + 4, "the last", None, oldest_kept=3)], now=NOW
    )
    assert await orders.attempts(failed) == [kept[1], FailedAttempt(4, NOW + 4, "the last")]
    assert await orders.attempts(fine) == await orders.attempts("nope") == []
    await adapter.close()
    again = await adapter.orders()
    await again.recover()
    assert [one.attempt for one in await again.attempts(failed)] == [3, 4]


# Cancelling and trying again.


@pytest.mark.parametrize("final", [False, True])
async def test_order_at_work_or_done_cannot_be_cancelled(orders: OrderStore, work: WorkStore, final: bool) -> None:
    order_range = (await accept(orders, request())).orders
    await begin(work, order_range)
    if final:
        await work.advance("w1", done=[Done(order_range.first, 1, NOW)], now=NOW)
    assert await orders.cancel(ids(order_range)[0]) is (State.DONE if final else State.RUNNING)


async def test_cancelling_twice_tells_that_it_is_cancelled(orders: OrderStore) -> None:
    order_range = (await accept(orders, request())).orders
    assert await orders.cancel(ids(order_range)[0]) == Cancellation(State.QUEUED)
    assert await orders.cancel(ids(order_range)[0]) is State.CANCELLED


async def test_failed_order_can_be_tried_again(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request(prioridad="alta"))).orders
    await begin(work, order_range)
    await work.advance("w1", failures=[Failure(order_range.first, 1, NOW, "broken", None)], now=NOW)
    assert await orders.retry(ids(order_range)[0]) == OpenRange(order_range, 1, Priority.HIGH, None)
    assert len(await begin(work, order_range, attempt=2)) == 1
    assert await orders.retry(ids(order_range)[0]) is State.RUNNING


async def test_failed_order_can_be_discarded_once_and_stays_as_it_was(
    adapter: Adapter, orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, request(), request())).orders
    await begin(work, order_range)
    failures = [Failure(order_range.first + place, 1, NOW, "broken", None) for place in (0, 1)]
    await work.advance("w1", failures=failures, now=NOW)
    assert await orders.cancel(ids(order_range)[0]) == Cancellation(State.FAILED)
    order = await orders.get(ids(order_range)[0])
    assert order is not None
    assert (order.state, order.attempt, order.detail) == (State.CANCELLED, 1, "broken")
    for change in (orders.cancel, orders.retry):
        assert await change(ids(order_range)[0]) is State.CANCELLED
    assert (await work.advance("w1", tickets=[ticket(order_range, 2)], now=NOW)).refused == [order_range]
    assert [one.id for one in (await orders.list(OrderListQuery(state=State.CANCELLED))).orders] == ids(order_range)[:1]
    await adapter.close()
    recovery = await (await adapter.orders()).recover()
    assert recovery.open == []
    assert recovery.totals == {State.DONE: 0, State.FAILED: 1, State.CANCELLED: 1}


async def test_order_that_was_tried_again_is_cancelled_as_one_that_waits(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request())).orders
    await begin(work, order_range)
    await work.advance("w1", failures=[Failure(order_range.first, 1, NOW, "broken", None)], now=NOW)
    await orders.retry(ids(order_range)[0])
    assert await orders.cancel(ids(order_range)[0]) == Cancellation(State.QUEUED)
    assert (await work.advance("w1", tickets=[ticket(order_range, 2)], now=NOW)).refused == [order_range]


async def test_what_is_not_there_cannot_be_changed(orders: OrderStore) -> None:
    for change in (orders.cancel, orders.retry):
        with pytest.raises(NotFound):
            await change("nope")


# Rescue and recovery.


async def test_dead_workers_orders_are_taken_back_with_those_it_had_not_begun(
    orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, *(request(str(n)) for n in range(4)))).orders
    begun = OrderRange(order_range.received, order_range.node, order_range.first, 3)
    await begin(work, begun)
    await work.advance("w1", done=[Done(order_range.first, 1, NOW)], now=NOW)
    rest = OrderRange(order_range.received, order_range.node, order_range.first + 3, 1)
    rescue = await orders.rescue([ticket(begun), ticket(rest)], poison=9)
    assert rescue.finals == {State.DONE: [OrderRange(order_range.received, order_range.node, order_range.first, 1)]}
    assert [(entry.orders.first, entry.orders.count, entry.attempt) for entry in rescue.requeued] == [
        (order_range.first + 1, 2, 1),
        (order_range.first + 3, 1, 0),
    ]
    assert await states(orders, order_range) == [State.DONE] + [State.QUEUED] * 3


async def test_order_that_kills_its_workers_is_failed_in_the_end(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request())).orders
    for attempt in (1, 2):
        await begin(work, order_range, attempt)
        rescue = await orders.rescue([ticket(order_range, attempt)], poison=1)
    assert rescue.finals == {State.FAILED: [order_range]}
    order = await orders.get(ids(order_range)[0])
    assert order is not None
    assert order.state is State.FAILED
    assert order.detail is not None


async def test_reopened_store_gives_back_what_was_open(adapter: Adapter, orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, *(request(str(n)) for n in range(5)))).orders
    special = (await accept(orders, request(prioridad="baja", no_antes_de="2030-01-01T00:00:00Z"))).orders
    await begin(work, OrderRange(order_range.received, order_range.node, order_range.first, 3))
    await work.advance("w1", done=[Done(order_range.first, 1, NOW)], now=NOW)
    await orders.cancel(ids(order_range)[4])
    await adapter.close()
    again = await adapter.orders()
    recovery = await again.recover()
    assert recovery.accepted == 6
    assert recovery.totals == {State.DONE: 1, State.FAILED: 0, State.CANCELLED: 1}
    assert [(entry.orders.first, entry.orders.count, entry.attempt) for entry in recovery.open] == [
        (order_range.first + 1, 2, 1),
        (order_range.first + 3, 1, 0),
        (special.first, 1, 0),
    ]
    assert recovery.open[-1].priority is Priority.LOW
    assert recovery.open[-1].due == 1_893_456_000_000_000
    assert (await accept(again, request())).orders.first > special.first


async def test_order_that_is_tried_again_after_settling_is_given_back(
    adapter: Adapter, orders: OrderStore, work: WorkStore
) -> None:
    order_range = (await accept(orders, request(), request())).orders
    await begin(work, order_range)
    failure = Failure(order_range.first + 1, 1, NOW, "broken", None)
    await work.advance("w1", done=[Done(order_range.first, 1, NOW)], failures=[failure], now=NOW)
    await orders.advance_watermark()
    assert isinstance(await orders.retry(ids(order_range)[1]), OpenRange)
    await adapter.close()
    recovery = await (await adapter.orders()).recover()
    assert [entry.orders.first for entry in recovery.open] == [order_range.first + 1]


async def test_settling_forgets_nothing_that_is_open(adapter: Adapter, orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, *(request(str(n)) for n in range(3)))).orders
    await begin(work, order_range)
    await work.advance("w1", done=[Done(order_range.first, 1, NOW), Done(order_range.first + 2, 1, NOW)], now=NOW)
    await orders.advance_watermark()
    await adapter.close()
    recovery = await (await adapter.orders()).recover()
    assert [entry.orders.first for entry in recovery.open] == [order_range.first + 1]


async def restart_waiting(adapter: Adapter) -> tuple[OrderStore, list[int]]:
    """Closes the store and opens it again: what it then has to be worked off."""
    await adapter.close()
    orders = await adapter.orders()
    recovery = await orders.recover()
    return orders, [one for entry in recovery.open for one in entry.orders.sequences]


async def test_start_finds_old_open_orders_wherever_they_are(
    adapter: Adapter, orders: OrderStore, work: WorkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders that are old are open here in every way: delayed, at work, put back, and tried again."""
    monkeypatch.setattr("shared.stores.sqlite.open_orders._RECENT_ORDERS", 5)
    monkeypatch.setattr("shared.stores.sqlite.open_orders._WINDOW", 4)
    monkeypatch.setattr("shared.stores.sqlite.open_orders._PORTION", 2)
    first = (await accept(orders, request(no_antes_de="2030-01-01T00:00:00Z"))).orders.first
    order_range = (await accept(orders, *(request(str(number)) for number in range(20)))).orders
    await begin(work, order_range)
    running, back, failed = order_range.first + 3, order_range.first + 6, order_range.first + 9
    others = [one for one in range(order_range.first, order_range.first + 20) if one not in (running, back, failed)]
    failures = [Failure(back, 1, NOW, "later", NOW + 5), Failure(failed, 1, NOW, "broken", None)]
    await work.advance("w1", done=[Done(one, 1, NOW) for one in others], failures=failures, now=NOW)
    await orders.advance_watermark()
    assert isinstance(await orders.retry(ids(order_range)[failed - order_range.first]), OpenRange)
    page = await orders.list(OrderListQuery(state=State.QUEUED))
    assert [int(order.id[-12:], 16) for order in page.orders] == [failed, back, first]
    again, waiting = await restart_waiting(adapter)
    assert waiting == [first, running, back, failed]
    for sequence in (running, failed):
        await again.cancel(ids(order_range)[sequence - order_range.first])
    await again.advance_watermark()
    _, waiting = await restart_waiting(adapter)
    assert waiting == [first, back]


# Listing.


async def test_list_is_newest_first_and_pages_do_not_overlap(orders: OrderStore) -> None:
    order_range = (await accept(orders, *(request(str(n)) for n in range(7)))).orders
    seen: list[str] = []
    before = None
    while True:
        page = await orders.list(OrderListQuery(limit=3, before=before))
        seen += [order.id for order in page.orders]
        before = page.before
        await accept(orders, request("newer"))
        if before is None:
            break
    assert seen == ids(order_range)[::-1]


async def test_list_filters(orders: OrderStore, work: WorkStore) -> None:
    early = (await accept(orders, request("Ana"), request("Ana María"), at=1_000_000)).orders
    late = (await accept(orders, request('A"na\\'), request("Ana"), request("Eva"), at=9_000_000)).orders
    await begin(work, early)
    await work.advance("w1", failures=[Failure(early.first, 1, NOW, "x", None)], now=NOW)
    await orders.cancel(ids(late)[2])

    async def customers(query: OrderListQuery) -> list[str]:
        return [order.request.customer for order in (await orders.list(query)).orders]

    assert await customers(OrderListQuery(customer="Ana")) == ["Ana", "Ana"]
    assert await customers(OrderListQuery(customer='A"na\\')) == ['A"na\\']
    assert await customers(OrderListQuery(since=9_000_000)) == ["Eva", "Ana", 'A"na\\']
    assert await customers(OrderListQuery(until=9_000_000)) == ["Ana María", "Ana"]
    assert await customers(OrderListQuery(state=State.QUEUED)) == ["Ana", 'A"na\\']
    assert await customers(OrderListQuery(state=State.RUNNING)) == ["Ana María"]
    assert await customers(OrderListQuery(state=State.FAILED)) == ["Ana"]
    assert await customers(OrderListQuery(state=State.CANCELLED)) == ["Eva"]
    assert await customers(OrderListQuery(state=State.DONE)) == []
    assert await customers(OrderListQuery(state=State.FAILED, customer="Eva")) == []


async def test_page_of_large_orders_ends_before_a_mebibyte(orders: OrderStore) -> None:
    products = [f"{number:04} {'x' * 195}" for number in range(1000)]
    for number in range(7):
        await accept(orders, request(str(number), productos=products))
    found: list[str] = []
    query = OrderListQuery(limit=100)
    while True:
        page = await orders.list(query)
        assert 1 <= len(page.orders) <= 5
        found += [order.request.customer for order in page.orders]
        if page.before is None:
            break
        query = query._replace(before=page.before)
    assert found == [str(number) for number in reversed(range(7))]


async def test_customers_are_found_by_every_spelling(orders: OrderStore) -> None:
    names = ["José  Núñez", "JOSE\u0301 NU\u0301N\u0303EZ", " josé núñez\u200b", "Jose Nunez"]
    await accept(orders, *map(request, names))
    page = await orders.list(OrderListQuery(customer="josé\u00a0NÚÑEZ"))
    assert [order.request.customer for order in page.orders] == names[2::-1]


async def test_orders_are_begun_until_their_documents_fill_the_room(orders: OrderStore, work: WorkStore) -> None:
    large = [request(productos=["x" * 190] * 10) for _ in range(100)]
    first, second = [(await accept(orders, *large)).orders for _ in range(2)]
    tickets = [ticket(first), ticket(second)]
    begun: list[Claim] = []
    turns = 0
    while tickets:
        advance = await work.advance("w1", tickets=tickets, now=NOW, max_bytes=50_000)
        assert not advance.refused
        sizes = [len(document) for claim in advance.claims for document in claim.documents]
        assert 0 < sum(sizes) < 100_000
        begun += advance.claims
        tickets = list(advance.left)
        turns += 1
    assert turns > 2
    assert [number for claim in begun for number in _sequences(claim.ticket.orders)] == [
        *_sequences(first),
        *_sequences(second),
    ]
    assert set(await states(orders, second)) == {State.RUNNING}


async def test_an_order_that_is_larger_than_the_room_is_begun_alone(orders: OrderStore, work: WorkStore) -> None:
    order_range = (await accept(orders, request())).orders
    advance = await work.advance("w1", tickets=[ticket(order_range)], now=NOW, max_bytes=1)
    assert [claim.ticket.orders for claim in advance.claims] == [order_range]
    assert not advance.left


def _sequences(order_range: OrderRange) -> range:
    return order_range.sequences
