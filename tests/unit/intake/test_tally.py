"""What is counted of orders that are cancelled after they have failed, in whichever order it becomes known."""

import pytest

from services.intake.admission import Admission
from services.intake.metrics import IntakeMetrics
from services.intake.tally import Tally
from services.intake.watchers import Watchers
from shared.domain.ids import OrderRange
from shared.domain.states import State
from shared.stores.ports.orders import Rescue
from workers.messages import Failed, Report

ONE = OrderRange(1, 2, 3, 1)


class Counted(Tally):
    """A tally of one order, which a worker has been given."""

    def __init__(self) -> None:
        self.admission = Admission(10, 1)
        super().__init__(self.admission, Watchers(1000), IntakeMetrics(), {}, 0)
        self.took(ONE)

    def counts(self) -> tuple[int, int, int]:
        """Orders that are open, `fallido`, and `cancelado`."""
        states = self.by_state(0)
        return self.admission.open, states[State.FAILED], states[State.CANCELLED]


@pytest.fixture
def tally() -> Counted:
    return Counted()


def report(tally: Tally, *, failed: bool) -> None:
    """A worker says that the order has failed, or that it was not to begin it."""
    failures, refused = ([Failed(ONE, "broken")], []) if failed else ([], [ONE])
    tally.reported(Report([], [], failures, [], refused, [], 5, {}, {}))


def test_failed_order_that_is_discarded_was_open_once(tally: Counted) -> None:
    report(tally, failed=True)
    assert tally.counts() == (0, 1, 0)
    tally.discarded(ONE, counted=True)
    assert tally.counts() == (0, 0, 1)


def test_order_that_is_discarded_before_its_failure_is_reported_is_counted_with_the_report(tally: Counted) -> None:
    tally.discarded(ONE, counted=False)
    assert tally.counts() == (1, 0, 0)
    report(tally, failed=True)
    assert tally.counts() == (0, 0, 1)


def test_order_whose_failure_is_never_reported_is_counted_when_its_worker_is_dead(tally: Counted) -> None:
    tally.discarded(ONE, counted=False)
    tally.rescued(Rescue([], {State.CANCELLED: [ONE]}))
    assert tally.counts() == (0, 0, 1)


def test_order_that_others_have_cancelled_is_counted_when_it_is_refused(tally: Counted) -> None:
    report(tally, failed=False)
    assert tally.counts() == (0, 0, 1)


def test_order_that_is_cancelled_while_a_worker_has_it_is_counted_once(tally: Counted) -> None:
    tally.cancelled(ONE, in_hand=True)
    report(tally, failed=False)
    assert tally.counts() == (0, 0, 1)
