"""What S3 tells through a queue: which objects there are new ones of."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple
from urllib.parse import unquote_plus

import msgspec
from msgspec import Meta, Struct

from shared.domain.errors import InvalidParams

_CREATED = "ObjectCreated:"
_TEST = "s3:TestEvent"


class S3Object(NamedTuple):
    """An object by its bucket and its key."""

    bucket: str
    key: str


_Name = Annotated[str, Meta(min_length=1)]


class _Bucket(Struct):
    name: _Name


class _Object(Struct):
    key: _Name


class _Place(Struct):
    bucket: _Bucket
    object: _Object


class _Record(Struct):
    event: str = msgspec.field(name="eventName")
    s3: _Place


class _Message(Struct):
    """A notification of S3: its records, or the event by which it tries out a queue."""

    records: list[_Record] | None = msgspec.field(default=None, name="Records")
    event: str | None = msgspec.field(default=None, name="Event")


class _Envelope(Struct):
    """What SNS puts a message into."""

    type: str | None = msgspec.field(default=None, name="Type")
    message: str | None = msgspec.field(default=None, name="Message")


def created_objects(body: str) -> Sequence[S3Object]:
    """The objects that a message of the queue says were created; none of a test. Raises InvalidParams."""
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
        if envelope.type == "Notification" and envelope.message is not None:
            body = envelope.message
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InvalidParams(f"the message is no notification of S3: {error}") from None
    if message.records is None:
        if message.event == _TEST:
            return []
        raise InvalidParams("the message is no notification of S3: it has no Records")
    return [
        # Keys come as in a form of a web page.
        S3Object(record.s3.bucket.name, unquote_plus(record.s3.object.key))
        for record in message.records
        if record.event.removeprefix("s3:").startswith(_CREATED)
    ]
