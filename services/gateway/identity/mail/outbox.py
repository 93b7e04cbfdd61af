"""The outbox: composes and sends mail after the response, which then cannot show whether an address has an account."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from services.gateway.identity.mail.files import FileMailer
from services.gateway.identity.mail.port import Mail, Mailer, MailError
from services.gateway.identity.mail.smtp import SmtpMailer
from shared.domain.errors import ComandaError, StartupError, Unavailable

MailJob = Callable[[], Awaitable[Mail | None]]
"""Looks up what a message needs, and returns it, or None if nothing is to be sent."""

_MAX_WAITING = 200
_ATTEMPTS = 3
_PAUSE_SECONDS = 2.0


class MailOutbox:
    """Sends messages one after another in a separate thread; at most 200 wait. Unsent ones end with the process."""

    def __init__(self, mailer: Mailer, *, max_waiting: int = _MAX_WAITING, pause: float = _PAUSE_SECONDS) -> None:
        self._mailer = mailer
        self._pause = pause
        self._jobs: asyncio.Queue[MailJob] = asyncio.Queue(max_waiting)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="mail")
        self._log = structlog.get_logger()
        self._task = asyncio.create_task(self._send_all(), name="mail outbox")

    def put(self, job: MailJob) -> None:
        """Takes a message to send. Raises Unavailable if too many wait."""
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            raise Unavailable("too many messages wait to be sent", hint="try again later") from None

    async def join(self) -> None:
        """Waits until nothing is left to send."""
        await self._jobs.join()

    def close(self) -> None:
        """Ends without sending what waits."""
        self._task.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _send_all(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                mail = await job()
                if mail is not None:
                    await self._send(mail)
            except ComandaError as error:
                self._log.error("mail_not_sent", reason=error.message)
            except Exception as error:
                self._log.error("mail_not_sent", reason=type(error).__name__)
            finally:
                self._jobs.task_done()

    async def _send(self, mail: Mail) -> None:
        loop = asyncio.get_running_loop()
        for left in reversed(range(_ATTEMPTS)):
            try:
                await loop.run_in_executor(self._executor, self._mailer.send, mail)
            except MailError:
                if not left:
                    raise
                await asyncio.sleep(self._pause)
            else:
                return


def open_outbox(url: str | None, sender: str) -> MailOutbox | None:
    """Returns the outbox of SMTP_URL: `smtp://`, `smtps://` or `file:FOLDER`; None without mail.

    Raises StartupError; the message does not repeat the URL, which may hold a password.
    """
    if not url:
        return None
    hint = "write SMTP_URL=smtp://USER:PASSWORD@HOST:PORT, smtps://…, or file:FOLDER"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise StartupError("SMTP_URL is not a URL", hint=hint) from None
    if parts.scheme == "file" and parts.path:
        return MailOutbox(FileMailer(Path(parts.path), sender))
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        return MailOutbox(SmtpMailer(parts, sender))
    raise StartupError("SMTP_URL does not say where the mail server is", hint=hint)
