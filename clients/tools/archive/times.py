"""Times as people give them to commands about archived orders."""

import datetime

from clients.errors import WrongUsage

_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> int:
    """Returns a time in microseconds since the epoch. Raises WrongUsage."""
    for form in _FORMS:
        try:
            moment = datetime.datetime.strptime(text, form).replace(tzinfo=datetime.UTC)
        except ValueError:
            continue
        return round(moment.timestamp() * 1_000_000)
    raise WrongUsage(f"{text!r} is no time", hint="write it in UTC, as 2030-01-31 or 2030-01-31T08:00:00Z")
