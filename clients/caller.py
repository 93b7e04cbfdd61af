"""A connection that is kept to a server: opened when needed, opened again when broken, shared by all tasks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from clients import call
from clients.access import Access
from clients.dial import dial
from clients.errors import AnswerTimeout, ConnectionLost, Unreachable
from clients.link import Link
from clients.replies import Members, read_answer

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Caller:
    """The part of a client that does not know what it talks about.

    `access` is what lets it in; `timeout` is how long an answer may take, in seconds, reconnections included;
    `greeted` whether the server speaks first, `exact` whether numbers with decimals are given as `Decimal`.
    `patience` is how long to wait for a server that was there before, in seconds; if None, until the time-out.

    Requests raise Refused when the server answers with an error, Unreachable when there is no server,
    AnswerTimeout, and ConnectionLost where sending again would not be safe. A `clients.call.Call` goes along.
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
        self._link: Link | None = None
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
        if self._link is not None:
            self._link.close()
            self._link = None

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _connected(self, deadline: float) -> Link:
        async with self._connecting:
            if self._link is None or not self._link.open:
                self._link = await self._opened(deadline)
            return self._link

    async def _opened(self, deadline: float) -> Link:
        """A new connection, let in. Raises Unreachable, ConnectionLost, and Refused for a wrong token."""
        pause = _FIRST_PAUSE
        now = asyncio.get_running_loop().time
        deadline = min(deadline, now() + self._patience)
        while True:
            try:
                link = await dial(lambda: Link(greeted=self._greeted), self._host, self._port, tls=self._access.tls)
                if self._access.token is not None:
                    shown = {"action": "authenticate", "token": self._access.token}
                    read_answer(Members, await link.request(_encode(shown)))
            except Unreachable:
                if not self._was_there or now() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._was_there = True
                return link

    async def request(self, document: Any, *, safe: bool = False) -> Any:
        """Sends any document and gives the answer as it is; `safe` ones are sent again when an answer is lost."""
        return msgspec.json.decode(await self._send(document, safe=safe))

    async def _send(self, document: Any, *, safe: bool) -> bytes:
        """Sends a document; gives the line that answers it."""
        if (served := call.current()) is None:
            deadline = self._deadline()
        else:
            document = served.marked(document)
            deadline = min(served.clock() + self._timeout, served.deadline)
        encoded = _encode(document)
        pause = _FIRST_PAUSE
        lost: ConnectionLost | None = None
        link: Link | None = None
        sent = 0.0
        try:
            while True:
                link = self._link
                if link is None or not link.open:
                    async with asyncio.timeout_at(deadline):
                        link = await self._connected(deadline)
                sent = link.now()
                try:
                    return await link.request(encoded, deadline)
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
            if link is not None and link.last_heard < sent:
                # Nobody is there any more, though nothing has said so.
                link.abort()
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
    async def _watching(self, request: Members) -> AsyncGenerator[tuple[Link, Members], None]:
        """A connection of its own on which the server tells of changes, and its answer to `request`."""
        deadline = self._deadline()
        link: Link | None = None
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    link = await self._opened(deadline)
                    line = await link.request(_encode(request))
            except TimeoutError:
                raise _too_late(self._timeout) from None
            yield link, read_answer(Members, line)
        finally:
            if link is not None:
                link.close()


def _too_late(timeout: float) -> AnswerTimeout:
    return AnswerTimeout(f"no answer within {timeout:g} s", hint="try again")
