"""The base of the clients: one connection that all tasks share, opened on demand and reopened after a failure."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from clients.access import Access
from clients.connection import ClientConnection
from clients.connector import connect_to_server
from clients.errors import AnswerTimeout, ConnectionLost, Unreachable
from clients.replies import Members, read_answer
from clients.request_context import add_request_user, get_request_context
from shared.runtime.backoff import Backoff

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _SharedConnection:
    """The connection that a client and its views share, and what is known about its server."""

    def __init__(self) -> None:
        self.current: ClientConnection | None = None
        self.opening = asyncio.Lock()
        self.was_opened = False


class BaseClient:
    """The part that the clients of all servers share: connections, requests, deadlines.

    `access` has the credentials. `timeout` limits the time until an answer, in seconds, reconnections included.
    `patience` limits the time that the client spends on reconnections to a server that was reachable before, in
    seconds; None is `timeout`. With `greeted`, the server sends a greeting first; with `exact`, numbers with
    decimals become `Decimal`.

    Requests raise Refused when the server answers with an error, Unreachable when no server accepts the connection,
    AnswerTimeout, and ConnectionLost where a repetition would not be safe. Each request carries the task's
    `RequestContext` and user.
    """

    def __init__(
        self,
        host: str,
        port: int,
        access: Access,
        *,
        timeout: float,
        greeted: bool,
        exact: bool = False,
        patience: float | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._access = access
        self._timeout = timeout
        self._greeted = greeted
        self._exact = exact
        self._patience = timeout if patience is None else patience
        self._connection = _SharedConnection()

    async def __aenter__(self) -> Self:
        await self._get_connection(self._compute_deadline())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; a later request opens a new one."""
        if self._connection.current is not None:
            self._connection.current.close()
            self._connection.current = None

    def _compute_deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _get_connection(self, deadline: float) -> ClientConnection:
        shared = self._connection
        async with shared.opening:
            if shared.current is None or not shared.current.is_open:
                shared.current = await self._open_connection(deadline)
            return shared.current

    async def _open_connection(self, deadline: float) -> ClientConnection:
        """Returns a new, authenticated connection.

        Retries with back-off if the server was reachable before. Raises Unreachable, ConnectionLost, and Refused for
        a wrong token.
        """
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        now = asyncio.get_running_loop().time
        deadline = min(deadline, now() + self._patience)
        while True:
            try:
                connection = await connect_to_server(
                    lambda: ClientConnection(greeted=self._greeted), self._host, self._port, tls=self._access.tls
                )
                if self._access.token is not None:
                    authentication = {"action": "authenticate", "token": self._access.token}
                    read_answer(Members, await connection.send_request(_encode(authentication)))
            except Unreachable:
                if not self._connection.was_opened or now() + backoff.delay > deadline:
                    raise
                await asyncio.sleep(backoff.next_delay())
            else:
                self._connection.was_opened = True
                return connection

    async def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and returns the decoded answer; with `safe`, sends it again after a lost answer."""
        return msgspec.json.decode(await self._send_document(document, safe=safe))

    async def _send_document(self, document: Any, *, safe: bool) -> bytes:
        """Sends a document and returns the line of its answer."""
        (line,) = await self._send_documents((document,), safe=safe)
        return line

    async def _send_documents(self, documents: Sequence[Any], *, safe: bool) -> list[bytes]:
        """Sends documents on one connection, without waiting between them; returns the lines of their answers."""
        if (context := get_request_context()) is None:
            deadline = self._compute_deadline()
        else:
            documents = [context.add_to_document(document) for document in documents]
            deadline = min(context.clock() + self._timeout, context.deadline)
        documents = [add_request_user(document) for document in documents]
        encoded = [_encode(document) for document in documents]
        backoff: Backoff | None = None
        lost: ConnectionLost | None = None
        connection: ClientConnection | None = None
        sent = 0.0
        try:
            while True:
                connection = self._connection.current
                if connection is None or not connection.is_open:
                    async with asyncio.timeout_at(deadline):
                        connection = await self._get_connection(deadline)
                sent = connection.read_clock()
                answers = [connection.send_request(one, deadline) for one in encoded]
                try:
                    return await _collect_answers(answers)
                except ConnectionLost as error:
                    if not safe:
                        raise
                    lost = error
                backoff = backoff or Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
                async with asyncio.timeout_at(deadline):
                    await asyncio.sleep(backoff.next_delay())
        except Unreachable as error:
            # An earlier attempt may have taken effect; Unreachable would deny that.
            raise lost or error from error
        except TimeoutError:
            if connection is not None and connection.last_heard < sent:
                # The peer has vanished without closing the connection.
                connection.abort()
            raise lost or _timeout_error(self._timeout) from None

    async def _request_reply(self, kind: type[T], document: Any, *, safe: bool = True) -> T:
        """Sends a document and returns its answer, decoded as `kind`. Raises Refused."""
        return read_answer(kind, await self._send_document(document, safe=safe), exact=self._exact)

    async def metrics(self) -> str:
        """Returns the server's metrics in the text format of Prometheus."""
        return str((await self._request_members({"action": "metrics"}))["metrics"])

    async def _request_members(self, document: Any, *, safe: bool = True) -> Members:
        members = await self._request_reply(Members, document, safe=safe)
        del members["success"]
        return members

    @asynccontextmanager
    async def _open_subscription(self, request: Members) -> AsyncGenerator[tuple[ClientConnection, Members], None]:
        """Opens a connection for one subscription; yields it and the server's answer to `request`."""
        deadline = self._compute_deadline()
        connection: ClientConnection | None = None
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await self._open_connection(deadline)
                    line = await connection.send_request(_encode(request))
            except TimeoutError:
                raise _timeout_error(self._timeout) from None
            yield connection, read_answer(Members, line)
        finally:
            if connection is not None:
                connection.close()


def _timeout_error(timeout: float) -> AnswerTimeout:
    return AnswerTimeout(f"no answer within {timeout:g} s", hint="try again")


async def _collect_answers(answers: "Sequence[asyncio.Future[bytes]]") -> list[bytes]:
    try:
        return [await answer for answer in answers]
    except BaseException:
        # Nobody waits for the later ones any more, whose errors asyncio would log.
        for answer in answers:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()
        raise
