"""A server behind the gateway: its connections, the bound on waiting requests, and its circuit breakers."""

import asyncio
import copy
import enum
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, Generic, Self, TypeVar, cast

import structlog

from clients.base_client import BaseClient
from clients.errors import AnswerTimeout, ConnectionLost, Refused, Unreachable
from services.gateway.upstream.breaker import Breaker, BreakerState
from shared.domain.errors import ComandaError, DeadlineExceeded, NotOffered, Unavailable
from shared.domain.tenants import MAIN

C = TypeVar("C", bound=BaseClient)
T = TypeVar("T")

# Error codes of a server that cannot work, whatever the request.
_ITS_FAULT = {"db_error", "internal_error", "unavailable"}
# Error codes that show a wrong configuration of the gateway.
_OUR_FAULT = {"unauthorized", "unknown_action"}


class WorkKind(enum.Enum):
    """Kinds of requests, by their cost for the server."""

    AT_ONCE = "at once"
    """It makes nobody behind it on its connection wait: above all new orders."""
    LOOKUP = "lookup"
    """It looks something up, or changes it."""
    LIST = "list"
    """It reads a page."""

    # That of an enumeration is a function in Python, and each request looks its kind up five times.
    __hash__ = object.__hash__


class Backend(Generic[C]):
    """One server. Any number of tasks may ask; beyond `max_waiting` requests at a time nobody else waits for it.

    Each kind of work has its own breaker: slow lists say nothing about new orders. Lists take at
    most half of the places.

    `clients` are its connections. On one of them a request that looks something up makes the later ones wait: so
    the first is for what is done at once, most of all, and travels well together; the others take turns.
    """

    def __init__(
        self, name: str, clients: Sequence[C], *, max_waiting: int, absent: Callable[[], NotOffered] | None = None
    ) -> None:
        self.name = name
        self.absent = absent
        """Makes the error that says why there is no such server here, where that is so."""
        self._clients = clients
        self._places = dict.fromkeys(WorkKind, max_waiting) | {WorkKind.LIST: -(-max_waiting // 2)}
        self._waiting = dict.fromkeys(WorkKind, 0)
        """Requests of each kind that wait for a response."""
        self._turns = itertools.cycle(range(1, len(clients)))
        self._tenant: str | None = None
        clock = asyncio.get_running_loop().time
        self._breakers = {kind: Breaker(clock) for kind in WorkKind}
        self._log = structlog.get_logger()
        self._make_clients()

    def _make_clients(self) -> None:
        self.at_once = self._client_for(WorkKind.AT_ONCE)
        """The client for requests that make no other request on their connection wait, above all new orders."""
        self.lookups = self._client_for(WorkKind.LOOKUP)
        """The client for requests that read or change something."""
        self.lists = self._client_for(WorkKind.LIST)
        """The client for requests that read a page. Each method of these three raises as `ask` does."""

    @property
    def state(self) -> BreakerState:
        """State of the strictest breaker of all kinds of work."""
        return max((breaker.state for breaker in self._breakers.values()), key=list(BreakerState).index)

    def describe_state(self) -> dict[str, Any]:
        """Returns the waiting requests and the state of the circuit breaker of each kind of work."""
        return {
            work.value: {"waiting": self._waiting[work], "breaker": self._breakers[work].state.value}
            for work in WorkKind
        }

    def of(self, tenant: str) -> Self:
        """Returns a view of this server for the items of a tenant, with the same connections, places and breakers.

        The clients have to have tenants, as `PersistenceClient` does.
        """
        if tenant == MAIN:
            return self
        view = copy.copy(self)
        view._tenant = tenant
        view._make_clients()
        return view

    async def ask(self, question: Callable[[C], Awaitable[T]], work: WorkKind = WorkKind.LOOKUP) -> T:
        """Returns the result of `question`, called with a client; `work` is the kind of request.

        Raises Refused for what the server says against the request itself, Unavailable where nothing was done,
        NotOffered where there is no such server, and DeadlineExceeded where that cannot be known.
        """
        if self.absent is not None:
            raise self.absent()
        breaker = self._breakers[work]
        if (pause := breaker.seconds_until_trial()) > 0:
            raise self._unavailable(f"{self.name} does not answer", pause)
        waiting = self._waiting[work] if work is WorkKind.LIST else sum(self._waiting.values())
        if waiting >= self._places[work]:
            raise self._unavailable(f"{waiting} requests wait for {self.name} already", 1.0)
        self._waiting[work] += 1
        try:
            client = self._clients[0] if work is WorkKind.AT_ONCE else self._clients[next(self._turns)]
            if self._tenant is not None:
                client = client.of(self._tenant)  # type: ignore[attr-defined]
            answer = await question(client)
        except Refused as refusal:
            raise self._translate_refusal(refusal, breaker) from None
        except Unreachable as error:
            self._record_failure(breaker, error)
            raise self._unavailable(f"{self.name} is away: {error.message}", 1.0) from error
        except (AnswerTimeout, ConnectionLost) as error:
            self._record_failure(breaker, error)
            raise DeadlineExceeded(
                f"{self.name}: {error.message}",
                hint="it may have been done all the same; look before sending it again, or use an Idempotency-Key",
            ) from error
        except BaseException:
            # The caller was cancelled. That says nothing about the server, but a trial must end.
            if breaker.state is BreakerState.TRIAL:
                breaker.record_failure()
            raise
        finally:
            self._waiting[work] -= 1
        self._record_success(breaker)
        return answer

    def _client_for(self, work: WorkKind) -> C:
        return cast(C, GuardedClient(partial(self.ask, work=work)))

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients:
            client.close()

    def _translate_refusal(self, refusal: Refused, breaker: Breaker) -> ComandaError:
        if refusal.error in _OUR_FAULT:
            self._log.error("upstream_refused_gateway", server=self.name, reason=refusal.message)
            return self._unavailable(f"{self.name} does not let the gateway in", 1.0)
        if refusal.error in _ITS_FAULT:
            self._record_failure(breaker, refusal)
        else:
            self._record_success(breaker)
        return refusal

    def _record_success(self, breaker: Breaker) -> None:
        if breaker.state is not BreakerState.CLOSED:
            self._log.info("upstream_available", server=self.name)
        breaker.record_success()

    def _record_failure(self, breaker: Breaker, error: ComandaError) -> None:
        before = breaker.state
        breaker.record_failure()
        if before is BreakerState.CLOSED and breaker.state is BreakerState.OPEN:
            self._log.warning("upstream_unavailable", server=self.name, reason=error.message)

    def _unavailable(self, message: str, seconds: float) -> Unavailable:
        details: dict[str, Any] = {"retry_after_ms": math.ceil(seconds * 1000)}
        return Unavailable(message, hint="try again later; nothing was done", details=details)


class GuardedClient:
    """Stands for a client; each call of a method goes through `ask`."""

    def __init__(self, ask: Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]) -> None:
        self._ask = ask

    def of(self, tenant: str) -> "GuardedClient":
        """Stands for the view of a tenant, `PersistenceClient.of`. Raises InvalidParams with the first call."""
        return GuardedClient(lambda question: self._ask(lambda client: question(client.of(tenant))))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        def call(*values: Any, **members: Any) -> Awaitable[Any]:
            return self._ask(methodcaller(name, *values, **members))

        # The next look finds it without this method.
        setattr(self, name, call)
        return call
