"""When orders are received, whatever the clock of the machine does."""

from structlog.testing import capture_logs

from services.intake.clock import ReceiptClock

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOW = 1_795_000_000 * SECOND
KEY_SECONDS = 7 * 86_400.0


class Machine:
    """A fake machine: a clock that is set by hand, and one that nobody sets."""

    def __init__(self, wall: int = NOW) -> None:
        self.wall = wall
        self.steady = 5 * SECOND

    def clock(self, key_seconds: float = KEY_SECONDS, newest: int = 0) -> ReceiptClock:
        return ReceiptClock(key_seconds, newest=newest, wall=lambda: self.wall, steady=lambda: self.steady)

    def pass_time(self, nanoseconds: int) -> None:
        self.wall += nanoseconds
        self.steady += nanoseconds


def test_time_is_that_of_the_machine() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(3 * SECOND)
    assert clock.now() == (NOW + 3 * SECOND) // 1000


def test_a_long_jump_is_not_followed_and_told_once() -> None:
    for jump in (365 * DAY, -365 * DAY):
        machine = Machine()
        clock = machine.clock()
        machine.wall += jump
        with capture_logs() as logs:
            machine.pass_time(SECOND)
            assert clock.now() == (NOW + SECOND) // 1000
            machine.pass_time(SECOND)
            assert clock.now() == (NOW + 2 * SECOND) // 1000
            machine.wall -= jump
            assert clock.now() == (NOW + 2 * SECOND) // 1000
        assert [(log["event"], log["log_level"]) for log in logs] == [
            ("clock_jumped", "error"),
            ("clock_returned", "info"),
        ]
        assert abs(logs[0]["seconds"]) == 365 * 86_400


def test_a_short_jump_is_followed() -> None:
    machine = Machine()
    clock = machine.clock()
    for jump in (DAY, -DAY, 3 * DAY):
        machine.wall += jump
        assert clock.now() == machine.wall // 1000


def test_without_an_expiry_every_jump_is_followed() -> None:
    machine = Machine()
    clock = machine.clock(0)
    machine.wall += 365 * DAY
    assert clock.now() == machine.wall // 1000


def test_a_clock_that_was_never_set_is_followed_once_it_is_set() -> None:
    machine = Machine(wall=60 * SECOND)
    clock = machine.clock()
    machine.wall = NOW
    assert clock.now() == NOW // 1000


def test_a_clock_that_was_far_ahead_at_the_start_may_be_set_back_soon() -> None:
    newest = (NOW - 60 * SECOND) // 1000
    for passed, is_followed in ((60 * SECOND, True), (700 * SECOND, False)):
        machine = Machine(NOW + 365 * DAY)
        clock = machine.clock(newest=newest)
        machine.pass_time(passed)
        clock.now()
        machine.wall -= 365 * DAY
        with capture_logs() as logs:
            assert (clock.now() == machine.wall // 1000) is is_followed
        assert [log["event"] for log in logs] == ["clock_set_back" if is_followed else "clock_jumped"]


def test_a_clock_that_was_right_at_the_start_may_not_be_set_back() -> None:
    machine = Machine()
    clock = machine.clock(newest=(NOW - 60 * SECOND) // 1000)
    machine.wall -= 365 * DAY
    assert clock.now() == NOW // 1000
