"""Times in the arguments of commands."""

import datetime

from clients.errors import WrongUsage

EXAMPLE_TIME = "2030-01-31T08:00:00Z"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def parse_time(text: str, flag: str) -> datetime.datetime:
    """Parses the time of a flag, in UTC unless it has an offset. Raises WrongUsage."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage(
            f"{flag} {text!r} is no time", hint=f"write a day, or a time in UTC: 2030-01-31 or {EXAMPLE_TIME}"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)


def to_microseconds(moment: datetime.datetime) -> int:
    """Returns a time in microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def to_wire(moment: datetime.datetime) -> str:
    """Returns a time in the protocol's format."""
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
