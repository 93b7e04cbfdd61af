"""Mail: over SMTP to a real server, into a folder, and through the outbox."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP, AuthResult
from structlog.testing import capture_logs

from services.gateway.identity.mail.files import FileMailer
from services.gateway.identity.mail.outbox import MailOutbox, open_outbox
from services.gateway.identity.mail.port import Mail, MailError
from services.gateway.identity.mail.smtp import SmtpMailer
from shared.domain.errors import StartupError, Unavailable
from tests.support.intake import PATIENCE

MAIL = Mail("ana@example.com", "Contraseña nueva", "Un enlace:\n\nhttps://x.es/#/password?token=abc\n")
SENDER = "Comanda <no-reply@example.com>"


class Inbox(Message):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@asynccontextmanager
async def serving(inbox: Inbox, **options: Any) -> AsyncIterator[int]:
    """Runs a mail server for the block; yields its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, loop=loop, enable_SMTPUTF8=True, **options), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def send(url: str, mail: Mail) -> None:
    await asyncio.to_thread(SmtpMailer(urlsplit(url), SENDER).send, mail)


async def test_a_message_arrives_as_it_was_written(inbox: Inbox) -> None:
    async with serving(inbox) as port:
        await send(f"smtp://127.0.0.1:{port}", MAIL)
    (message,) = inbox.messages
    assert (message["To"], message["From"]) == (MAIL.to, SENDER)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.com>")
    parsed = message_from_bytes(message.as_bytes(), policy=SMTPUTF8)
    assert parsed["Subject"] == MAIL.subject
    assert parsed.get_content().replace("\r\n", "\n") == MAIL.text


async def test_an_address_with_letters_beyond_ascii_arrives(inbox: Inbox) -> None:
    async with serving(inbox) as port:
        await send(f"smtp://127.0.0.1:{port}", Mail("ñandú@example.com", "Hola", "Hola\n"))
    (message,) = inbox.messages
    assert message["X-RcptTo"] == "ñandú@example.com"


async def test_no_header_can_be_injected(inbox: Inbox) -> None:
    async with serving(inbox) as port:
        with pytest.raises(MailError):
            await send(f"smtp://127.0.0.1:{port}", Mail("a@x.es\nBcc: eve@x.es", "Hola", "Hola\n"))
    assert not inbox.messages


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key and a certificate of localhost."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    return key, cert


async def test_a_password_is_sent_over_tls(
    inbox: Inbox, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusted = ssl.create_default_context(cafile=str(cert))
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusted)
    seen: list[tuple[bytes, bytes]] = []

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: Any, data: Any) -> AuthResult:
        seen.append((data.login, data.password))
        return AuthResult(success=True)

    options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": authenticate}
    async with serving(inbox, **options) as port:
        await send(f"smtp://shop:p%40ss@localhost:{port}", MAIL)
    assert seen == [(b"shop", b"p@ss")]
    assert len(inbox.messages) == 1


def test_a_server_that_is_away_is_an_error_without_the_password() -> None:
    with pytest.raises(MailError) as failed:
        SmtpMailer(urlsplit("smtp://shop:hunter2@127.0.0.1:1"), SENDER).send(MAIL)
    assert "hunter2" not in failed.value.message


def test_a_folder_keeps_the_newest_messages(tmp_path: Path) -> None:
    mailer = FileMailer(tmp_path / "mail", SENDER, max_files=3)
    for number in range(5):
        mailer.send(Mail("ana@example.com", f"Hola {number}", "Hola\n"))
    files = sorted((tmp_path / "mail").iterdir())
    subjects = [message_from_bytes(file.read_bytes())["Subject"] for file in files]
    assert subjects == ["Hola 2", "Hola 3", "Hola 4"]
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("not a folder")
    with pytest.raises(MailError):
        FileMailer(tmp_path / "mail", SENDER).send(MAIL)


class Scripted:
    """Fails as often as told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sent: list[Mail] = []

    def send(self, mail: Mail) -> None:
        if self.failures:
            self.failures -= 1
            raise MailError("away")
        self.sent.append(mail)


async def give() -> Mail:
    return MAIL


async def test_the_outbox_tries_again_and_goes_on_after_a_failure() -> None:
    mailer = Scripted(2)
    outbox = MailOutbox(mailer, pause=0)

    async def break_down() -> Mail:
        raise ValueError("secret-token")

    async def nothing() -> None:
        return None

    with capture_logs() as log:
        for job in (give, break_down, nothing, give):
            outbox.put(job)
        await outbox.join()
        mailer.failures = 3
        outbox.put(give)
        await outbox.join()
    assert mailer.sent == [MAIL, MAIL]
    assert [entry["event"] for entry in log] == ["mail_not_sent", "mail_not_sent"]
    assert "secret-token" not in repr(log)
    outbox.close()


async def test_the_outbox_is_bounded() -> None:
    outbox = MailOutbox(Scripted(0), max_waiting=2)
    outbox.put(give)
    outbox.put(give)
    with pytest.raises(Unavailable):
        outbox.put(give)
    await outbox.join()
    outbox.close()


@pytest.mark.parametrize("url", ["hunter2", "http://hunter2@x", "smtp://", "smtp://x:hunter2", "file:"])
async def test_a_wrong_address_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(StartupError) as refused:
        open_outbox(url, SENDER)
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"


async def test_the_setting_chooses_the_adapter(tmp_path: Path) -> None:
    assert open_outbox(None, SENDER) is None
    outbox = open_outbox(f"file:{tmp_path}/mail", SENDER)
    assert outbox is not None
    outbox.put(give)
    async with asyncio.timeout(PATIENCE):
        await outbox.join()
    outbox.close()
    assert len(list((tmp_path / "mail").iterdir())) == 1
    other = open_outbox("smtps://x.example", SENDER)
    assert other is not None
    other.close()
