"""Parts of a service, repeated work, waits and back-off."""

import asyncio

import pytest
from structlog.testing import capture_logs

from shared.domain.errors import StoreError
from shared.runtime.backoff import Backoff
from shared.runtime.parts import ServiceParts
from shared.runtime.waiting import repeat_work, wait_for_event


class Fenced(StoreError):
    """An error after which the work must not be repeated."""


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_parts_run_until_the_stop() -> None:
    parts, stop = ServiceParts(), asyncio.Event()
    kept, other = parts.start(forever(), "kept"), parts.start(forever(), "other")
    waiting = asyncio.create_task(parts.wait(stop))
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await waiting
    assert parts.cancel(but=kept) == [other]
    await asyncio.wait([other])
    assert other.cancelled()
    assert not kept.done()
    parts.raise_failure()
    kept.cancel()


@pytest.mark.parametrize("watched", [True, False])
async def test_the_first_failure_ends_the_wait_and_is_raised(watched: bool) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    parts = ServiceParts()
    other = parts.start(forever(), "other")
    if watched:
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        parts.watch(failure)
        failure.set_exception(ZeroDivisionError())
    else:
        parts.start(fail(), "fails")
    await parts.wait(asyncio.Event())
    parts.cancel()
    await asyncio.wait([other])
    with pytest.raises(ZeroDivisionError):
        parts.raise_failure()


async def test_work_is_repeated_after_an_error_of_the_store_and_not_after_others() -> None:
    errors = iter([StoreError("the disk is full"), None, Fenced("another server is in its place")])

    async def work() -> None:
        if (error := next(errors)) is not None:
            raise error

    with capture_logs() as logs, pytest.raises(Fenced):
        await repeat_work("work_failed", 0.0, work, fatal=Fenced)
    assert logs == [{"event": "work_failed", "reason": "the disk is full", "log_level": "warning"}]


async def test_a_wait_ends_at_the_event_or_after_its_time() -> None:
    event = asyncio.Event()
    assert not await wait_for_event(event, 0.001)
    event.set()
    assert await wait_for_event(event, None)


def test_delays_double_up_to_the_longest_until_a_success() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_delay() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.delay == 3.0
    backoff.reset()
    assert backoff.next_delay() == 0.5
