"""Life of a process: what goes on after a cancellation."""

import asyncio

from shared.runtime.lifecycle import end_cancellation


async def test_time_outs_hold_in_a_task_that_goes_on_in_spite_of_its_cancellation() -> None:
    begun = asyncio.Event()

    async def go_on() -> str:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            end_cancellation()
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        raise AssertionError("nothing ends this wait")

    task = asyncio.create_task(go_on())
    await begun.wait()
    task.cancel()
    task.cancel()
    assert await task == "timed out"
    assert not task.cancelling()
