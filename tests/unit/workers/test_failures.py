"""What is kept of a handler's exception."""

import asyncio
import re

import pytest

from shared.domain.ids import OrderRange
from shared.domain.orders import OrderRequest
from workers.failures import FailureDescriber, Verdict, known_secrets
from workers.handlers import Job, Kit, Reject, load_handler
from workers.runner import Runner

TOKEN = "correct-horse-battery"


def divide(number: int) -> float:
    kept_out = TOKEN
    assert kept_out
    return number / 0


def described(reason: Exception, describe: FailureDescriber | None = None) -> Verdict:
    try:
        raise reason
    except Exception as error:
        return (describe or FailureDescriber())(error)


def test_place_and_traceback_say_where_it_was_raised_and_no_variable() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        divide(7)
    verdict = FailureDescriber()(raised.value)
    assert (verdict.error, verdict.final) == ("ZeroDivisionError: division by zero", False)
    assert verdict.place is not None
    assert re.fullmatch(r"tests/unit/workers/test_failures\.py:\d+ divide", verdict.place)
    assert verdict.traceback is not None
    assert "return number / 0" in verdict.traceback
    assert verdict.traceback.endswith("ZeroDivisionError: division by zero\n")
    assert TOKEN not in verdict.traceback


def test_cause_is_told_before_what_it_led_to() -> None:
    try:
        try:
            divide(1)
        except ZeroDivisionError as cause:
            raise LookupError("no oven") from cause
    except LookupError as error:
        verdict = FailureDescriber()(error)
    assert verdict.traceback is not None
    first, _, second = verdict.traceback.partition("which led to:")
    assert "division by zero" in first
    assert "no oven" in second


def test_exception_that_was_never_raised_has_no_place() -> None:
    assert FailureDescriber()(Reject("sold out")) == Verdict("sold out", True)


def test_known_secrets_are_masked_everywhere() -> None:
    secrets = known_secrets(
        {"SERVICE_TOKEN": TOKEN, "PATH": "/usr/bin:/bin", "api_key": "0123456789"}, "another-secret"
    )
    assert secrets == [TOKEN, "0123456789", "another-secret"]
    verdict = described(ValueError(f"401 for {TOKEN} and another-secret"), FailureDescriber(secrets=secrets))
    for text in (verdict.error, verdict.traceback):
        assert text is not None
        assert "another-secret" not in text
        assert "401 for [secret] and [secret]" in text


def recurse(number: int) -> None:
    recurse(number + 1)


def test_everything_is_bounded_and_the_end_is_kept() -> None:
    long = described(ValueError("ü" * 100_000), FailureDescriber(1000))
    assert len(long.error) == 2000
    assert long.traceback is not None
    assert len(long.traceback.encode()) <= 1000
    with pytest.raises(RecursionError) as raised:
        recurse(0)
    deep = FailureDescriber()(raised.value)
    assert deep.traceback is not None
    assert len(deep.traceback) <= 4096
    assert deep.traceback.rstrip().endswith("maximum recursion depth exceeded")


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_exception_without_a_text_is_told_all_the_same() -> None:
    assert described(Rude()).error == "Rude: <no text: RuntimeError>"


def test_exception_without_a_message_is_told_by_its_type_alone() -> None:
    verdict = described(AssertionError())
    assert verdict.error == "AssertionError"
    assert verdict.traceback is not None
    assert verdict.traceback.endswith("\nAssertionError\n")


def test_chain_without_end_is_bounded() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert described(one).error == "ValueError: one"


def blocking(job: Job) -> None:
    divide(2)


async def test_attempt_beyond_the_time_out_says_where_it_was_and_a_thread_what_it_called() -> None:
    async def stuck(job: Job) -> None:
        await asyncio.Event().wait()

    for handler, timeout, place in (
        (stuck, 0.0, "stuck"),
        (load_handler(f"{__name__}:blocking", Kit()).handle, 60.0, "divide"),
    ):
        woken = asyncio.Event()
        runner = Runner(handler, concurrency=1, timeout=timeout, wake=woken.set)
        runner.put(OrderRange(1, 2, 1, 1), 1, Job("1", 1, OrderRequest(customer="a", items=["x"], address="d")))
        runner.start()
        await asyncio.sleep(0)
        runner.end_overdue()
        await woken.wait()
        (result,) = runner.take_results()
        assert result.failure is not None
        assert result.failure.place is not None
        assert result.failure.traceback is not None
        assert place in result.failure.traceback
        assert "workers/runner.py" not in result.failure.traceback
