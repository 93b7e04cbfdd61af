"""The bound, and estimates that can be believed."""

import pytest

from services.intake.admission import Admission


def steady(rate: int, seconds: int = 20, limit: int = 100) -> Admission:
    """An admission that has seen `rate` orders finish each second, with work to do all the time."""
    admission = Admission(limit, places=limit)
    admission.admit(limit, 0.0)
    for second in range(1, seconds + 1):
        admission.release_open(rate, float(second))
        admission.admit(rate, float(second))
    return admission


def test_room_is_what_is_left_of_the_bound() -> None:
    admission = Admission(10, places=10)
    admission.admit(7, 0.0)
    assert admission.room == 3
    admission.release_open(2, 1.0)
    assert admission.room == 5


def test_rate_is_measured_while_there_is_work() -> None:
    assert steady(50).rate() == pytest.approx(50, rel=0.01)


def test_idle_time_does_not_count() -> None:
    admission = Admission(10, places=10)
    for start in (0.0, 1000.0):
        admission.admit(10, start)
        admission.release_open(10, start + 1)
    assert admission.rate() == pytest.approx(10, rel=0.01)


def test_each_refused_client_is_promised_a_place_of_its_own() -> None:
    admission = steady(50)
    promises = [admission.retry_after_ms(20.0) for _ in range(5)]
    assert promises == pytest.approx([20, 40, 60, 80, 100], abs=2)
    assert admission.retry_after_ms(60.0) == pytest.approx(20, abs=2)


def test_promises_are_bounded() -> None:
    admission = steady(1)
    assert max(admission.retry_after_ms(20.0) for _ in range(1000)) <= 60_000


def test_unknown_rate_gives_a_plain_second() -> None:
    admission = Admission(1, places=4)
    assert admission.retry_after_ms(0.0) == 1000
    assert admission.per_order_ms() == 250


def test_an_order_makes_others_wait_at_the_measured_rate() -> None:
    assert steady(50).per_order_ms() == pytest.approx(20, rel=0.01)


def test_few_orders_tell_nothing_of_how_fast_many_leave() -> None:
    admission = Admission(1000, places=100)
    admission.admit(1, 0.0)
    admission.release_open(1, 1.0)
    assert admission.rate() == pytest.approx(1)
    assert admission.per_order_ms() == 10
