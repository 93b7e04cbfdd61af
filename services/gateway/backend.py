"""A server behind the gateway: connections to it, how much may wait for it, and what happens while it is away."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from clients.caller import Caller
from clients.errors import AnswerTimeout, ConnectionLost, Refused, Unreachable
from services.gateway.breaker import Breaker, BreakerState
from shared.domain.errors import ComandaError, DeadlineExceeded, Unavailable

C = TypeVar("C", bound=Caller)
T = TypeVar("T")

# What another server answers when it cannot work, whoever asks what.
_ITS_FAULT = {"db_error", "internal_error", "unavailable"}
# What only a gateway that is not set up well can be told.
_OUR_FAULT = {"unauthorized", "unknown_action"}


class Backend(Generic[C]):
    """One server. Any number of tasks may ask; beyond `max_waiting` requests at a time nobody else waits for it.

    `clients` are its connections. On one of them a request that looks something up makes the later ones wait: so
    the first is for what is done at once, most of all, and travels well together; the others take turns.
    """

    def __init__(self, name: str, clients: Sequence[C], *, max_waiting: int) -> None:
        self.name = name
        self._clients = clients
        self._max_waiting = max_waiting
        self._next = 0
        self.waiting = 0
        """How many requests wait for its answer."""
        self._breaker = Breaker(asyncio.get_running_loop().time)
        self._log = structlog.get_logger()

    @property
    def state(self) -> BreakerState:
        """What the breaker lets pass."""
        return self._breaker.state

    async def ask(self, question: Callable[[C], Awaitable[T]], *, at_once: bool = False) -> T:
        """What `question` makes of a client; `at_once` says that it makes nobody behind it wait.

        Raises Refused for what the server says against the request itself, Unavailable where nothing was done,
        and DeadlineExceeded where that cannot be known.
        """
        if (pause := self._breaker.wait()) > 0:
            raise self._away(f"{self.name} does not answer", pause)
        if self.waiting >= self._max_waiting:
            raise self._away(f"{self.waiting} requests wait for {self.name} already", 1.0)
        self.waiting += 1
        try:
            answer = await question(self._clients[0] if at_once else self._in_turn())
        except Refused as refusal:
            raise self._told(refusal) from None
        except Unreachable as error:
            self._fail(error)
            raise self._away(f"{self.name} is away: {error.message}", 1.0) from error
        except (AnswerTimeout, ConnectionLost) as error:
            self._fail(error)
            raise DeadlineExceeded(
                f"{self.name}: {error.message}",
                hint="it may have been done all the same; look before sending it again, or use an Idempotency-Key",
            ) from error
        except BaseException:
            # Whoever asked has gone: that says nothing about the server, but a trial must end.
            if self._breaker.state is BreakerState.TRIAL:
                self._breaker.failed()
            raise
        finally:
            self.waiting -= 1
        self._answered()
        return answer

    def _in_turn(self) -> C:
        self._next = self._next % (len(self._clients) - 1) + 1
        return self._clients[self._next]

    def close(self) -> None:
        """Ends the connections."""
        for client in self._clients:
            client.close()

    def _told(self, refusal: Refused) -> ComandaError:
        if refusal.error in _OUR_FAULT:
            self._log.error("refused by a server; check SERVICE_TOKEN", server=self.name, reason=refusal.message)
            return self._away(f"{self.name} does not let the gateway in", 1.0)
        if refusal.error in _ITS_FAULT:
            self._fail(refusal)
        else:
            self._answered()
        return refusal

    def _answered(self) -> None:
        if self._breaker.state is not BreakerState.CLOSED:
            self._log.info("a server is back", server=self.name)
        self._breaker.succeeded()

    def _fail(self, error: ComandaError) -> None:
        before = self._breaker.state
        self._breaker.failed()
        if before is BreakerState.CLOSED and self._breaker.state is BreakerState.OPEN:
            self._log.warning("a server is away; leaving it alone", server=self.name, reason=error.message)

    def _away(self, message: str, seconds: float) -> Unavailable:
        details: dict[str, Any] = {"retry_after_ms": math.ceil(seconds * 1000)}
        return Unavailable(message, hint="try again later; nothing was done", details=details)
