"""The port of outgoing mail."""

from typing import Protocol

from msgspec import Struct

from shared.domain.errors import ComandaError


class Mail(Struct, frozen=True):
    """A message of plain text to one address."""

    to: str
    subject: str
    text: str


class MailError(ComandaError):
    """A message could not be handed over."""

    code = "unavailable"


class Mailer(Protocol):
    """Hands messages over. Blocks; `outbox.py` calls it in a thread."""

    def send(self, mail: Mail) -> None:
        """Hands one message over. Raises MailError."""
        ...
