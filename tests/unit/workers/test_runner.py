"""Running handlers: many at a time, each in bounds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

import pytest

from shared.domain.errors import StartupError
from shared.domain.ids import OrderRange
from shared.domain.orders import Item, OrderRequest, Priority
from workers import handlers
from workers.handlers import Job, Kit, Reject, load_handler
from workers.runner import Result, Runner

RUN = OrderRange(1, 2, 1, 100)
ORDER = OrderRequest(customer="a", items=["x"], address="d")


def error_of(result: Result) -> str | None:
    return None if result.failure is None else result.failure.error


def is_final(result: Result) -> bool:
    return result.failure is not None and result.failure.final


class Bench:
    """A runner, and a way to wait for its results."""

    def __init__(
        self, handler: Callable[[Job], Awaitable[None]], *, concurrency: int = 10, timeout: float = 60
    ) -> None:
        self.woken = asyncio.Event()
        self.runner = Runner(handler, concurrency=concurrency, timeout=timeout, wake=self.woken.set)

    def put(self, orders: int) -> None:
        for sequence in range(1, orders + 1):
            self.runner.put(RUN, sequence, Job(str(sequence), 1, ORDER))
        self.runner.start()

    async def results(self, number: int) -> list[Result]:
        found: list[Result] = []
        while len(found) < number:
            await self.woken.wait()
            self.woken.clear()
            found += self.runner.take_results()
        return found


async def test_handlers_that_wait_run_side_by_side_up_to_the_limit() -> None:
    gate, most, now = asyncio.Event(), 0, 0

    async def handler(job: Job) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if now == 10:
            gate.set()
        await gate.wait()
        now -= 1

    bench = Bench(handler, concurrency=10)
    bench.put(25)
    results = await bench.results(25)
    assert sorted(result.sequence for result in results) == list(range(1, 26))
    assert most == 10
    assert bench.runner.load == 0


async def test_place_is_free_as_soon_as_its_result_is_there() -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(0)

    bench = Bench(handler, concurrency=1)
    for _ in range(20):
        bench.put(1)
        assert len(await bench.results(1)) == 1


async def test_handlers_that_never_wait_share_one_task() -> None:
    tasks: set[object] = set()

    async def handler(job: Job) -> None:
        tasks.add(asyncio.current_task())

    bench = Bench(handler)
    bench.put(50)
    assert len(await bench.results(50)) == 50
    assert len(tasks) == 1


async def test_errors_are_told_and_stop_nobody_else() -> None:
    async def handler(job: Job) -> None:
        if job.id == "2":
            raise ValueError("no flour")
        if job.id == "3":
            raise Reject("closed")

    bench = Bench(handler)
    bench.put(4)
    results = {result.sequence: result for result in await bench.results(4)}
    assert [error_of(results[n]) for n in (1, 2, 3, 4)] == [None, "ValueError: no flour", "closed", None]
    assert [is_final(results[n]) for n in (1, 2, 3, 4)] == [False, False, True, False]


async def test_attempt_beyond_the_time_out_is_ended_and_the_task_goes_on() -> None:
    async def handler(job: Job) -> None:
        if job.id == "1":
            await asyncio.Event().wait()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

    bench = Bench(handler, concurrency=1, timeout=0)
    bench.put(2)
    await asyncio.sleep(0)
    bench.runner.end_overdue()
    results = await bench.results(2)
    assert [error_of(result) for result in results] == ["not finished within 0 s", None]


async def test_cancel_tells_what_was_at_work_and_take_line_what_was_not() -> None:
    async def handler(job: Job) -> None:
        await asyncio.Event().wait()

    bench = Bench(handler, concurrency=2)
    bench.put(5)
    while len(bench.runner._running) < 2:
        await asyncio.sleep(0)
    assert bench.runner.take_line() == [(3, 1), (4, 1), (5, 1)]
    assert await bench.runner.cancel_attempts() == [(1, 1), (2, 1)]
    assert bench.runner.load == 0


def test_handler_sees_every_product_in_one_shape() -> None:
    products: list[str | Item] = ["pan", Item("agua", 2, Decimal("0.80")), Item("sal")]
    order = Job("1", 1, OrderRequest(customer="a", items=products, address="d")).order
    assert order.items == (Item("pan", 1, None), Item("agua", 2, Decimal("0.80")), Item("sal", 1, None))
    assert (order.customer, order.address, order.priority) == ("a", "d", Priority.NORMAL)
    assert (order.not_before, order.request_id, order.trace) == (None, None, None)


async def test_plain_function_runs_in_a_thread_as_a_handler() -> None:
    loaded = load_handler(f"{__name__}:plain_handler", Kit())
    with pytest.raises(LookupError):
        await loaded.handle(Job("1", 1, ORDER))


def plain_handler(job: Job) -> None:
    raise LookupError(job.id)


@pytest.mark.parametrize("path", ["", "workers.handlers", "no.such:thing", "workers.handlers:none", "os:sep"])
def test_handler_that_cannot_be_loaded_stops_the_start(path: str) -> None:
    with pytest.raises(StartupError, match="ORDER_HANDLER"):
        load_handler(path, Kit())


def test_default_handler_waits() -> None:
    assert isinstance(load_handler("workers.handlers:wait", Kit(processing_seconds=1)).handle, handlers.Wait)


class Made:
    def __init__(self, kit: Kit) -> None:
        self.seconds = kit.processing_seconds
        self.closed = False

    async def __call__(self, job: Job) -> None:
        raise LookupError(job.id)

    async def prepare(self, jobs: Sequence[Job]) -> Mapping[str, Exception]:
        return {job.id: Reject(str(self.seconds)) for job in jobs}

    async def close(self) -> None:
        self.closed = True


async def test_class_is_made_with_the_kit_and_may_prepare_and_close() -> None:
    loaded = load_handler(f"{__name__}:Made", Kit(processing_seconds=7))
    assert loaded.prepare is not None
    (reason,) = (await loaded.prepare([Job("1", 1, ORDER)])).values()
    assert str(reason) == "7"
    await loaded.close()
    assert isinstance(loaded.handle, Made)
    assert loaded.handle.closed


@pytest.mark.parametrize("name", ["TakesNothing", "Made.seconds"])
def test_class_that_cannot_be_made_stops_the_start(name: str) -> None:
    with pytest.raises(StartupError, match="ORDER_HANDLER"):
        load_handler(f"{__name__}:{name}", Kit())


class TakesNothing:
    """Not a class of handlers."""


async def test_what_a_handler_waits_for_can_be_cancelled_without_stranding_its_order() -> None:
    async def handler(job: Job) -> None:
        waited_for = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(waited_for.cancel)
        await waited_for

    bench = Bench(handler)
    bench.put(2)
    results = await bench.results(2)
    assert [error_of(result) for result in results] == ["CancelledError"] * 2
    assert bench.runner.load == 0


async def test_handler_that_cancels_its_own_task_fails_and_the_next_one_runs() -> None:
    async def handler(job: Job) -> None:
        if job.id == "1":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    bench = Bench(handler, concurrency=1)
    bench.put(2)
    first, second = await bench.results(2)
    assert (error_of(first), error_of(second)) == ("CancelledError", None)


@pytest.mark.parametrize("error", [Reject("\ud800" * 9000), SystemExit("\ud800" * 9000), ValueError("\ud800" * 9000)])
async def test_error_is_told_in_text_that_can_be_stored(error: BaseException) -> None:
    async def handler(job: Job) -> None:
        raise error

    bench = Bench(handler)
    bench.put(1)
    (result,) = await bench.results(1)
    assert error_of(result) is not None
    assert len((error_of(result) or "").encode()) <= 2000
