"""When a server is left alone, and when it is tried again."""

import pytest

from services.gateway.upstream.breaker import Breaker, BreakerState


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def opened(breaker: Breaker) -> None:
    for _ in range(5):
        assert breaker.seconds_until_trial() == 0
        breaker.record_failure()
    assert breaker.state is BreakerState.OPEN


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    opened(breaker)
    assert breaker.seconds_until_trial() == pytest.approx(0.5)


def test_an_answer_in_between_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(4):
        breaker.record_failure()
    breaker.record_success()
    for _ in range(4):
        breaker.record_failure()
    assert breaker.state is BreakerState.CLOSED


def test_one_trial_decides(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 0.5
    assert breaker.seconds_until_trial() == 0
    assert breaker.state == "trial"
    # Others wait for its outcome.
    assert breaker.seconds_until_trial() > 0
    breaker.record_success()
    assert breaker.state == "closed"
    assert breaker.seconds_until_trial() == 0


def test_each_trial_that_fails_doubles_the_pause_up_to_a_bound(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    pauses = []
    for _ in range(6):
        clock.now += breaker.seconds_until_trial()
        assert breaker.seconds_until_trial() == 0
        breaker.record_failure()
        pauses.append(breaker.seconds_until_trial())
    assert pauses == pytest.approx([1, 2, 4, 5, 5, 5])


def test_failures_of_requests_from_before_change_nothing_while_it_is_open(breaker: Breaker) -> None:
    opened(breaker)
    breaker.record_failure()
    assert breaker.seconds_until_trial() == pytest.approx(0.5)


def test_a_trial_without_an_outcome_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 0.5
    assert breaker.seconds_until_trial() == 0
    clock.now += 0.5
    assert breaker.seconds_until_trial() == 0
