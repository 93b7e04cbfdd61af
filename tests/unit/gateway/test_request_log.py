"""Which requests the gateway writes into its log."""

import pytest
from structlog.testing import capture_logs

from services.gateway.middleware.request_log import RequestLog
from services.gateway.settings import LogRequests


def log(which: LogRequests = "slow", now: float = 0.0) -> RequestLog:
    return RequestLog(which, slow_seconds=1.0, clock=lambda: now)


@pytest.mark.parametrize(
    ("status", "seconds", "streamed", "wanted"),
    [
        (200, 0.01, False, False),
        (404, 0.01, False, False),
        (500, 0.01, False, True),
        (0, 0.01, False, True),
        (200, 1.0, False, True),
        (200, 3600.0, True, False),
    ],
)
def test_requests_that_failed_or_took_long_are_logged(
    status: int, seconds: float, streamed: bool, wanted: bool
) -> None:
    assert log().should_log(status, seconds, streamed=streamed) is wanted
    assert log("all").should_log(status, seconds, streamed=streamed)


def test_where_every_request_fails_a_few_of_each_second_are_logged_and_the_rest_counted() -> None:
    now = [5.0]
    requests = RequestLog("slow", slow_seconds=1.0, clock=lambda: now[0])
    assert [requests.should_log(503, 0.0, streamed=False) for _ in range(1000)].count(True) == 20
    now[0] = 6.0
    assert requests.should_log(503, 0.0, streamed=False)
    with capture_logs() as written:
        requests.write(status=503)
        requests.write(status=503)
    assert [entry.get("left_out") for entry in written] == [980, None]
