"""Mail over SMTP (RFC 5321), with TLS where the server offers it."""

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, make_msgid
from urllib.parse import SplitResult, unquote

from services.gateway.identity.mail.port import Mail, MailError

_TIMEOUT_SECONDS = 5.0
_PORT, _TLS_PORT = 587, 465


class SmtpMailer:
    """Sends over `smtp://USER:PASSWORD@HOST:PORT`, or `smtps://` for TLS from the first byte.

    With a password, `smtp://` requires STARTTLS, unless the server is on this machine.
    """

    def __init__(self, url: SplitResult, sender: str) -> None:
        self._implicit_tls = url.scheme == "smtps"
        self._host = url.hostname or "localhost"
        self._port = url.port or (_TLS_PORT if self._implicit_tls else _PORT)
        self._user = unquote(url.username or "")
        self._password = unquote(url.password or "")
        self._sender = sender

    def send(self, mail: Mail) -> None:
        """Hands one message over to the server. Raises MailError."""
        try:
            with self._connect() as connection:
                connection.send_message(compose_message(mail, self._sender))
        except (smtplib.SMTPException, OSError, ValueError) as error:
            # The texts of some errors repeat the message or the credentials.
            raise MailError(f"the mail server {self._host} refused: {type(error).__name__}") from None

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._implicit_tls:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=context
            )
        else:
            connection = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            if not self._implicit_tls:
                connection.ehlo()
                local = self._host in ("localhost", "127.0.0.1", "::1")
                if connection.has_extn("starttls"):
                    connection.starttls(context=context)
                elif self._password and not local:
                    raise smtplib.SMTPNotSupportedError("STARTTLS")
            if self._user:
                connection.login(self._user, self._password)
        except BaseException:
            connection.close()
            raise
        return connection


def compose_message(mail: Mail, sender: str) -> EmailMessage:
    """Returns a message with its headers. Raises ValueError for a line break in one."""
    ascii_only = (mail.to + sender).isascii()
    message = EmailMessage(policy=SMTP if ascii_only else SMTPUTF8)
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">") or "localhost")
    # Out-of-office replies to such messages help nobody (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message
