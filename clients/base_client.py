"""The base of the clients: a connection that is opened when needed, opened again when broken, shared by all tasks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from clients.access import Access
from clients.connection import ClientConnection
from clients.connector import connect_to_server
from clients.errors import AnswerTimeout, ConnectionLost, Unreachable
from clients.replies import Members, read_answer
from clients.request_context import get_request_context

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_encode = msgspec.json.Encoder(decimal_format="number").encode


class BaseClient:
    """The part that the clients of all servers share: connecting, sending, deadlines.

    `access` is what lets it in; `timeout` is how long an answer may take, in seconds, reconnections included;
    `greeted` whether the server speaks first, `exact` whether numbers with decimals are given as `Decimal`.
    `patience` is how long to wait for a server that was there before, in seconds; if None, until the time-out.

    Requests raise Refused when the server answers with an error, Unreachable when there is no server,
    AnswerTimeout, and ConnectionLost where sending again would not be safe. The task's `RequestContext` goes along.
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
        self._connection: ClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._was_there = False

    async def __aenter__(self) -> Self:
        await self._connected(self._deadline())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; a later request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _connected(self, deadline: float) -> ClientConnection:
        async with self._connecting:
            if self._connection is None or not self._connection.open:
                self._connection = await self._opened(deadline)
            return self._connection

    async def _opened(self, deadline: float) -> ClientConnection:
        """A new connection, let in. Raises Unreachable, ConnectionLost, and Refused for a wrong token."""
        pause = _FIRST_PAUSE
        now = asyncio.get_running_loop().time
        deadline = min(deadline, now() + self._patience)
        while True:
            try:
                connection = await connect_to_server(
                    lambda: ClientConnection(greeted=self._greeted), self._host, self._port, tls=self._access.tls
                )
                if self._access.token is not None:
                    shown = {"action": "authenticate", "token": self._access.token}
                    read_answer(Members, await connection.request(_encode(shown)))
            except Unreachable:
                if not self._was_there or now() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._was_there = True
                return connection

    async def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and gives the answer as it is; `safe` ones are sent again when an answer is lost."""
        return msgspec.json.decode(await self._send(document, safe=safe))

    async def _send(self, document: Any, *, safe: bool) -> bytes:
        """Sends a document; gives the line that answers it."""
        if (served := get_request_context()) is None:
            deadline = self._deadline()
        else:
            document = served.add_to_document(document)
            deadline = min(served.clock() + self._timeout, served.deadline)
        encoded = _encode(document)
        pause = _FIRST_PAUSE
        lost: ConnectionLost | None = None
        connection: ClientConnection | None = None
        sent = 0.0
        try:
            while True:
                connection = self._connection
                if connection is None or not connection.open:
                    async with asyncio.timeout_at(deadline):
                        connection = await self._connected(deadline)
                sent = connection.now()
                try:
                    return await connection.request(encoded, deadline)
                except ConnectionLost as error:
                    if not safe:
                        raise
                    lost = error
                async with asyncio.timeout_at(deadline):
                    await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        except Unreachable as error:
            # What was sent before may have taken effect, which Unreachable would deny.
            raise lost or error from error
        except TimeoutError:
            if connection is not None and connection.last_heard < sent:
                # Nobody is there any more, though nothing has said so.
                connection.abort()
            raise lost or _too_late(self._timeout) from None

    async def _ask(self, kind: type[T], document: Any, *, safe: bool = True) -> T:
        """The answer to a document. Raises Refused."""
        return read_answer(kind, await self._send(document, safe=safe), exact=self._exact)

    async def metrics(self) -> str:
        """What the server counts, in the text format of Prometheus."""
        return str((await self._ask_members({"action": "metrics"}))["metrics"])

    async def _ask_members(self, document: Any, *, safe: bool = True) -> Members:
        members = await self._ask(Members, document, safe=safe)
        del members["success"]
        return members

    @asynccontextmanager
    async def _watching(self, request: Members) -> AsyncGenerator[tuple[ClientConnection, Members], None]:
        """A connection of its own on which the server tells of changes, and its answer to `request`."""
        deadline = self._deadline()
        connection: ClientConnection | None = None
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await self._opened(deadline)
                    line = await connection.request(_encode(request))
            except TimeoutError:
                raise _too_late(self._timeout) from None
            yield connection, read_answer(Members, line)
        finally:
            if connection is not None:
                connection.close()


def _too_late(timeout: float) -> AnswerTimeout:
    return AnswerTimeout(f"no answer within {timeout:g} s", hint="try again")
