"""Parses S3 notifications of created objects."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple
from urllib.parse import unquote_plus

import msgspec
from msgspec import Meta, Struct

from shared.domain.errors import InvalidParams

_CREATED = "ObjectCreated:"
_TEST_EVENT = "s3:TestEvent"


class S3Object(NamedTuple):
    """The bucket and the key of an object."""

    bucket: str
    key: str


_Name = Annotated[str, Meta(min_length=1)]


class _Bucket(Struct):
    name: _Name


class _Object(Struct):
    key: _Name


class _ObjectLocation(Struct):
    bucket: _Bucket
    object: _Object


class _Record(Struct):
    event: str = msgspec.field(name="eventName")
    s3: _ObjectLocation


class _Message(Struct):
    """An S3 notification: its records, or the test event that S3 sends to a new queue."""

    records: list[_Record] | None = msgspec.field(default=None, name="Records")
    event: str | None = msgspec.field(default=None, name="Event")


class _Envelope(Struct):
    """The envelope of SNS around a message."""

    type: str | None = msgspec.field(default=None, name="Type")
    message: str | None = msgspec.field(default=None, name="Message")


def created_objects(body: str) -> Sequence[S3Object]:
    """Returns the created objects of a message; none for a test event. Raises InvalidParams."""
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
        if envelope.type == "Notification" and envelope.message is not None:
            body = envelope.message
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InvalidParams(f"the message is no notification of S3: {error}") from None
    if message.records is None:
        if message.event == _TEST_EVENT:
            return []
        raise InvalidParams("the message is no notification of S3: it has no Records")
    return [
        # Keys are encoded as in web forms.
        S3Object(record.s3.bucket.name, unquote_plus(record.s3.object.key))
        for record in message.records
        if record.event.removeprefix("s3:").startswith(_CREATED)
    ]
