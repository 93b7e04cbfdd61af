"""What a load test counts, and how it judges."""

from collections.abc import AsyncGenerator

import msgspec
import pytest

from clients.access import Target
from clients.intake import IntakeClient
from clients.replies import Members, StoredOrder
from clients.tools.loadtest.assessment import describe_processing, explain_outcome, find_bottleneck
from clients.tools.loadtest.generator import LoadGenerator
from clients.tools.loadtest.measurements import Measurements, Timeline
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.results import LoadTestResult, build_result
from clients.tools.loadtest.verification import VerificationResult, verify_orders
from clients.tools.loadtest.workload import Workload
from shared.domain.ids import OrderRange
from shared.domain.states import State

SIZE = 1200
WORKLOAD = Workload([b'{"cliente":"a","productos":["x"],"direccion":"d"}'], keyed=True)
IDS = list(OrderRange(1_700_000_000_000_000, 7, 1, SIZE + 2).ids())


class Store(IntakeClient):
    """A client of a server that exists in memory only: `stored` as it shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, StoredOrder] = {}
        self.asked = 0
        for number in range(SIZE):
            self.place(IDS[number], number)

    def place(self, order_id: str, number: int) -> None:
        sent = msgspec.json.decode(WORKLOAD.format_line(number))
        shown = {"id": order_id, "estado": "listo", "prioridad": "normal", "intentos": 1}
        self.stored[order_id] = msgspec.convert({**sent, **shown, "recibido": "2026-01-01T00:00:00Z"}, StoredOrder)

    def change(self, order_id: str, **members: object) -> None:
        self.stored[order_id] = msgspec.structs.replace(self.stored[order_id], **members)

    async def stats(self) -> Members:
        self.asked += 1
        return {"abiertos": 0}

    async def status(self, order_id: str) -> StoredOrder:
        self.asked += 1
        return self.stored[order_id]

    async def list(self, **_: object) -> AsyncGenerator[StoredOrder, None]:
        self.asked += 1
        for order in reversed(self.stored.values()):
            yield order


@pytest.fixture
def store() -> Store:
    """A server that has kept its word."""
    return Store()


@pytest.fixture
def measure() -> Measurements:
    """A run in which every order was acknowledged."""
    made = Measurements()
    made.ids[:] = IDS[:SIZE]
    return made


async def judge(store: Store, measure: Measurements) -> VerificationResult:
    return await verify_orders(
        store, WORKLOAD, measure, seconds=0, working=lambda done: None, progress=lambda checked: None
    )


async def test_server_that_kept_its_word_passes(store: Store, measure: Measurements) -> None:
    store.place(IDS[-1], 0)
    store.change(IDS[-1], request_id="somebody else's")
    verdict = await judge(store, measure)
    assert verdict.passed
    assert verdict.checked == SIZE


async def test_lost_orders_are_named(store: Store, measure: Measurements) -> None:
    del store.stored[IDS[3]]
    assert (await judge(store, measure)).lost == [IDS[3]]


async def test_order_without_acknowledgement_need_not_be_there(store: Store, measure: Measurements) -> None:
    del store.stored[IDS[3]]
    measure.ids[3] = None
    assert (await judge(store, measure)).passed


async def test_order_that_is_there_twice_is_named(store: Store, measure: Measurements) -> None:
    store.place(IDS[-1], 3)
    assert (await judge(store, measure)).doubled == [IDS[-1], IDS[3]]
    measure.ids[3] = None
    assert (await judge(store, measure)).doubled == [IDS[3]]


async def test_one_id_for_two_orders_is_named(store: Store, measure: Measurements) -> None:
    measure.ids[4] = measure.ids[3]
    assert (await judge(store, measure)).doubled == [IDS[4]]


async def test_changed_orders_are_named(store: Store, measure: Measurements) -> None:
    store.change(IDS[3], address="e")
    assert (await judge(store, measure)).changed == [IDS[3]]


async def test_orders_that_are_not_listo_are_named_with_their_state(store: Store, measure: Measurements) -> None:
    for number, state in ((3, "en cola"), (4, "fallido"), (5, "cancelado"), (6, "en proceso")):
        store.change(IDS[number], state=State(state))
    unfinished = (await judge(store, measure)).unfinished
    assert sorted(unfinished) == [
        f"{IDS[3]} (en cola)",
        f"{IDS[4]} (fallido)",
        f"{IDS[5]} (cancelado)",
        f"{IDS[6]} (en proceso)",
    ]


async def test_every_order_that_is_late_is_named(store: Store, measure: Measurements) -> None:
    for order_id in IDS[:SIZE]:
        store.change(order_id, state=State.QUEUED)
    unfinished = (await judge(store, measure)).unfinished
    assert sorted(unfinished) == [f"{order_id} (en cola)" for order_id in IDS[:SIZE]]


async def test_nothing_acknowledged_is_nothing_to_check(store: Store) -> None:
    verdict = await judge(store, Measurements())
    assert (verdict, store.asked) == (VerificationResult(), 0)


def test_orders_refused_for_the_time_being_are_not_settled() -> None:
    measure = Measurements()
    measure.accepted = 1
    measure.refused.update(["queue_full", "queue_full", "unavailable", "conflict"])
    assert (measure.rejected, measure.settled) == (1, 2)


def test_no_quantile_lies_beyond_the_longest() -> None:
    measure = Measurements()
    measure.record_answers(0.0, 1, [(2713, 1)])
    assert dict(measure.latency_ms()) == dict.fromkeys(("p50", "p90", "p99", "p99.9", "max"), 2.713)


def test_long_run_has_longer_slices() -> None:
    timeline = Timeline()
    timeline.begin_run(100.0)
    for second in range(1000):
        timeline.find_slice(100.0 + second).accepted += 1
    assert len(timeline.slices) <= 400
    assert sum(one.accepted for one in timeline.slices) == 1000
    assert timeline.seconds == 4.0


def test_order_of_an_open_loop_is_due_whatever_the_server_does() -> None:
    plan = Plan(connections=1, pipeline=1, orders=10, rate=100.0)
    generator = LoadGenerator(WORKLOAD, Measurements(), plan, target=Target("", 0))
    (first, _), (second, _) = generator.due_times([3, 5])
    assert second - first == pytest.approx(0.02)


def conclusion(
    measure: Measurements,
    verdict: VerificationResult | None = None,
    rate: float | None = None,
    seconds: float = 1.0,
    cpu: float = 0.1,
) -> LoadTestResult:
    """The result of a run."""
    plan = Plan(connections=1, pipeline=1, orders=10, rate=rate)
    measure.record_answers(measure.timeline.seconds, 0, [])
    return build_result(plan, measure, verdict, seconds=seconds, cpu_seconds=cpu, killed=0)


def test_verdict_says_in_one_line_why_the_server_held(measure: Measurements) -> None:
    measure.accepted = 10
    assert explain_outcome(conclusion(measure)) == "10 orders were accepted; --verify looks each of them up"
    verified = conclusion(measure, VerificationResult(checked=10))
    assert (verified.passed, explain_outcome(verified)) == (True, "10 orders are stored once, unchanged and listo")
    measure.given_up = 3
    assert "3 more were refused for lack of room" in explain_outcome(conclusion(measure))


def test_verdict_says_in_one_line_why_the_server_did_not_hold(measure: Measurements) -> None:
    measure.accepted, measure.unknown = 10, 1
    measure.refused.update(["queue_full", "invalid_params", "invalid_params"])
    result = conclusion(measure, VerificationResult(checked=9, lost=["x"]))
    assert not result.passed
    assert explain_outcome(result) == "2 finally refused, 1 with an unknown outcome, 1 lost (exit status 1)"


def test_run_in_which_nothing_was_accepted_did_not_hold(measure: Measurements) -> None:
    measure.given_up = 10
    result = conclusion(measure, VerificationResult())
    assert (result.passed, explain_outcome(result)) == (False, "no order was accepted (exit status 1)")


def test_report_says_what_bounded_the_run(measure: Measurements) -> None:
    measure.accepted = 100
    assert find_bottleneck(conclusion(measure)) == "the server"
    assert find_bottleneck(conclusion(measure, rate=101.0)) == "the requested rate"
    assert find_bottleneck(conclusion(measure, rate=1000.0)) == "the server"
    assert find_bottleneck(conclusion(measure, cpu=0.95)).startswith("the load test itself")
    assert find_bottleneck(conclusion(measure, seconds=0.01)) == "no limit that such a short run could show"
    measure.refused.update(["queue_full"])
    assert find_bottleneck(conclusion(measure, rate=101.0)).startswith("the handler")


async def test_progress_shows_orders_that_are_worked_off_and_then_those_verified(
    store: Store, measure: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [{"abiertos": left, "por_segundo": 2000.0, "proceso_ms": {"p50": 999.4}} for left in (SIZE + 5, 300, 0)]

    async def stats() -> Members:
        return answers.pop(0)

    monkeypatch.setattr(store, "stats", stats)
    worked_off: list[int] = []
    verified: list[int] = []
    verdict = await verify_orders(
        store, WORKLOAD, measure, seconds=60, working=worked_off.append, progress=verified.append
    )
    # Orders of others are open, too, at first.
    assert worked_off == [0, SIZE - 300, SIZE]
    assert verified[-1] == SIZE
    assert verdict.work is not None
    assert (verdict.work.rate, verdict.work.handler_ms) == (2000.0, 999.4)
    assert describe_processing(verdict.work).endswith("up to 2,000 orders/s, 999 ms each in the handler")
