"""Rate limits of clients for each route, counted in this process or in a Redis that several gateways share."""

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.util import WindowStats

from services.gateway.http.asgi import Scope
from services.gateway.http.routes import Route
from shared.domain.errors import RateLimited, StartupError
from shared.net.addresses import address_key

NO_LIMIT = "none"
_WAIT_MS = 1000


class RequestCounter:
    """Counts requests, in a Redis that several gateways share or in this process.

    While the Redis at `redis_url` is away, each gateway counts for itself. Raises StartupError.
    """

    def __init__(self, redis_url: str | None) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if redis_url:
            try:
                storage = storage_from_string(f"async+{redis_url}", implementation="redispy", wrap_exceptions=True)
            except Exception:
                # The URL may hold a password, and the error repeats the URL.
                raise StartupError(
                    "REDIS_URL does not say where a Redis is", hint="write it like redis://localhost:6379"
                ) from None
            assert isinstance(storage, Storage)
            self._shared = SlidingWindowCounterRateLimiter(storage)
        self._log = structlog.get_logger()
        self._alone = False

    async def count(self, limit: RateLimitItem, *names: str) -> bool:
        """Counts a request under these names. Returns whether it is within the limit."""
        if self._shared is not None:
            try:
                allowed = await self._shared.hit(limit, *names)
            except StorageError as error:
                self._report_absence(error)
            else:
                self._alone = False
                return allowed
        return await self._own.hit(limit, *names)

    async def read_window(self, limit: RateLimitItem, *names: str) -> WindowStats:
        """Returns how many requests remain under these names, and when the window ends."""
        if self._shared is not None and not self._alone:
            try:
                return await self._shared.get_window_stats(limit, *names)
            except StorageError as error:
                self._report_absence(error)
        return await self._own.get_window_stats(limit, *names)

    def _report_absence(self, error: StorageError) -> None:
        if not self._alone:
            self._log.warning("rate_limit_store_unavailable", reason=str(error))
        self._alone = True


class RateLimiter:
    """Limits clients to `limit` requests for each route, written as for the package limits (`100/second`), or `none`.

    Raises StartupError.
    """

    def __init__(self, limit: str, counter: RequestCounter) -> None:
        self._counter = counter
        self._limit: RateLimitItem | None = None
        if limit != NO_LIMIT:
            try:
                self._limit = parse(limit)
            except ValueError as error:
                raise StartupError(
                    f"RATE_LIMIT={limit} is wrong: {error}", hint="write it like 100/second, or none"
                ) from None

    async def check_rate(self, scope: Scope, operation: Route) -> None:
        """Raises RateLimited for a client that has exceeded the limit of this route."""
        if self._limit is None or not operation.limited:
            return
        client = client_of(scope.get("client"))
        route = f"{operation.method} {operation.path}"
        if not await self._counter.count(self._limit, client, route):
            raise RateLimited(
                f"{client} has called {route} more than {self._limit}",
                hint="wait; the limit is the setting RATE_LIMIT",
                details={"retry_after_ms": _WAIT_MS},
            )


def client_of(address: tuple[str, int] | None) -> str:
    """Returns the key of a client: an IPv4 address, or the /64 network of an IPv6 address."""
    return address_key(None if address is None else address[0])
