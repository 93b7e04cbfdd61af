"""Mail into a folder, for development: one file for each message, the newest ones kept."""

import secrets
import time
from pathlib import Path

from services.gateway.identity.mail.port import Mail, MailError
from services.gateway.identity.mail.smtp import compose_message
from shared.runtime.durable_files import make_private_folder, write_file

MAX_FILES = 1000


class FileMailer:
    """Writes messages to `folder`, which only this user may read, and keeps the newest `max_files`."""

    def __init__(self, folder: Path, sender: str, *, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._sender = sender
        self._max_files = max_files

    def send(self, mail: Mail) -> None:
        """Writes one message. Raises MailError."""
        try:
            make_private_folder(self._folder)
            name = f"{time.time_ns():019d}-{secrets.token_hex(2)}.eml"
            write_file(self._folder / name, bytes(compose_message(mail, self._sender)))
            for old in sorted(self._folder.glob("*.eml"))[: -self._max_files]:
                old.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            raise MailError(f"the message cannot be written to {self._folder}: {error}") from error
