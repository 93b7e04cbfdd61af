"""Orders that are prepared together before they are run."""

import asyncio
from collections.abc import Mapping, Sequence

from shared.domain.ids import OrderRange
from shared.domain.orders import OrderRequest
from workers.handlers import Job, Reject
from workers.preparing_runner import PreparingRunner
from workers.runner import Result

RUN = OrderRange(1, 2, 1, 100)
ORDER = OrderRequest(customer="a", items=["x"], address="d")


def error_of(result: Result) -> str | None:
    return None if result.failure is None else result.failure.error


def is_final(result: Result) -> bool:
    return result.failure is not None and result.failure.final


class Bench:
    """A runner whose preparing is done by the test."""

    def __init__(self, *, timeout: float = 60) -> None:
        self.woken = asyncio.Event()
        self.asked: asyncio.Queue[list[str]] = asyncio.Queue()
        self.answers: asyncio.Queue[Mapping[str, Exception | str] | BaseException] = asyncio.Queue()
        self.handled: list[str] = []
        self.runner = PreparingRunner(self._prepare, self._handle, concurrency=10, timeout=timeout, wake=self.woken.set)

    async def _prepare(self, jobs: Sequence[Job]) -> Mapping[str, Exception | str]:
        self.asked.put_nowait([job.id for job in jobs])
        answer = await self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _handle(self, job: Job) -> None:
        self.handled.append(job.id)

    def put(self, *sequences: int) -> None:
        for sequence in sequences:
            self.runner.put(RUN, sequence, Job(str(sequence), 1, ORDER))
        self.runner.start()

    async def results(self, number: int) -> dict[int, Result]:
        found: list[Result] = []
        while len(found) < number:
            await self.woken.wait()
            self.woken.clear()
            found += self.runner.take_results()
        assert len(found) == number
        return {result.sequence: result for result in found}


async def test_order_with_a_note_is_begun_and_keeps_it_to_its_end() -> None:
    bench = Bench()
    bench.put(1, 2, 3)
    bench.answers.put_nowait({"1": "no milk", "2": Reject("no bread")})
    results = await bench.results(3)
    assert bench.handled == ["1", "3"]
    assert {number: (one.note, error_of(one)) for number, one in results.items()} == {
        1: ("no milk", None),
        2: (None, "no bread"),
        3: (None, None),
    }


async def test_orders_of_a_turn_are_prepared_together_and_those_that_come_meanwhile_after_them() -> None:
    bench = Bench()
    bench.put(1)
    bench.put(2, 3)
    assert await bench.asked.get() == ["1", "2", "3"]
    bench.put(4)
    bench.put(5)
    assert bench.asked.empty()
    assert bench.handled == []
    assert bench.runner.load == 5
    bench.answers.put_nowait({})
    assert await bench.asked.get() == ["4", "5"]
    assert set(await bench.results(3)) == {1, 2, 3}
    assert bench.runner.load == 2
    bench.answers.put_nowait({})
    assert set(await bench.results(2)) == {4, 5}
    bench.put(6)
    assert await bench.asked.get() == ["6"]


async def test_what_is_refused_is_not_run_and_ends_as_if_the_handler_had_said_so() -> None:
    bench = Bench()
    bench.put(1, 2, 3)
    bench.answers.put_nowait({"1": Reject("sold out"), "3": ValueError("later")})
    results = await bench.results(3)
    assert [error_of(results[n]) for n in (1, 2, 3)] == ["sold out", None, "ValueError: later"]
    assert [is_final(results[n]) for n in (1, 2, 3)] == [True, False, False]
    assert bench.handled == ["2"]
    assert bench.runner.load == 0


async def test_preparing_that_fails_fails_its_orders_and_no_others() -> None:
    bench = Bench()
    for error, told in (
        (ValueError("no"), "ValueError: no"),
        (SystemExit(1), "SystemExit: 1"),
        (asyncio.CancelledError(), "CancelledError"),
        (TimeoutError("there"), "TimeoutError: there"),
    ):
        bench.put(1, 2)
        bench.answers.put_nowait(error)
        results = await bench.results(2)
        assert [(error_of(result), is_final(result)) for result in results.values()] == [(told, False)] * 2
    bench.put(3)
    bench.answers.put_nowait({})
    assert error_of((await bench.results(1))[3]) is None


async def test_preparing_beyond_the_time_out_is_a_failed_attempt() -> None:
    bench = Bench(timeout=0)
    bench.put(1)
    assert error_of((await bench.results(1))[1]) == "not prepared within 0 s"
    assert bench.runner.load == 0


async def test_what_is_prepared_or_waits_for_it_is_handed_back_with_the_line() -> None:
    bench = Bench()
    bench.put(1, 2)
    await bench.asked.get()
    bench.put(3)
    assert bench.runner.take_line() == [(1, 1), (2, 1), (3, 1)]
    bench.answers.put_nowait({})
    assert await bench.runner.cancel_attempts() == []
    await asyncio.sleep(0)
    assert (bench.runner.load, bench.handled, bench.runner.take_results()) == (0, [], [])
