"""Runs SQL queries over the lake, each in a process of its own (`shared/lake/sandbox.py`)."""

import asyncio
import contextlib
import importlib.util
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

import shared
from clients.lake.location import LakeLocation
from shared.domain.errors import DeadlineExceeded, InvalidParams, NotOffered, Unavailable
from shared.domain.tenants import check_tenant_name

MAX_SQL: Final = 20_000
"""Characters of a query."""

_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from shared.lake.sandbox import main; main()",
    str(Path(shared.__file__).parents[1]),
)
_PACKAGES: Final = ("duckdb", "pyarrow")
# Each arena of malloc takes 64 MiB of address space.
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_START_SECONDS: Final = 30.0
"""The time that a process may take to load its libraries, before that of the query begins."""
_MEMORY_HINT: Final = "select fewer columns, or aggregate"


class QueryLimits(NamedTuple):
    """Limits of a query."""

    seconds: float = 10.0
    memory_mib: int = 1500
    """The address space of its process."""
    max_rows: int = 10_000
    max_bytes: int = 8 * 2**20
    """The size of its rows as JSON."""


DEFAULT_LIMITS: Final = QueryLimits()


class ResultColumn(Struct, frozen=True):
    """A column of a result."""

    name: str
    type: str
    """Its type in SQL."""


class QueryResult(Struct, frozen=True):
    """The result of a query."""

    columns: Sequence[ResultColumn]
    rows: Sequence[Sequence[Any]]
    truncated: bool
    """Whether there are more rows than a result may have."""
    seconds: float


class _Answer(Struct, frozen=True):
    columns: list[ResultColumn] = []
    rows: list[list[Any]] = []
    truncated: bool = False
    error: str | None = None
    kind: str = ""


class LakeQueries:
    """Runs queries, `at_once` at a time and one at a time for each tenant.

    After the first query `spares` processes wait for the next ones, as loading the libraries takes half a second.
    """

    def __init__(
        self, location: LakeLocation, limits: QueryLimits = DEFAULT_LIMITS, *, at_once: int = 2, spares: int = 0
    ) -> None:
        self._location = location
        self._limits = limits
        self._at_once = at_once
        self._spares = spares
        self._waiting: deque[asyncio.subprocess.Process] = deque()
        self._running: set[str] = set()
        self._closed = False

    async def run(self, tenant: str, sql: str) -> QueryResult:
        """Returns the result of one SELECT over the tables of a tenant.

        Raises InvalidParams for a query that is refused or fails, DeadlineExceeded, Unavailable while other queries
        run, and NotOffered without the extra `lake`.
        """
        check_tenant_name(tenant)
        check_installed()
        if len(sql) > MAX_SQL:
            raise InvalidParams(f"the query has more than {MAX_SQL} characters", field="sql")
        async with self._take_place(tenant):
            began = time.monotonic()
            answer = await self._ask(tenant, sql)
        if answer.error is not None:
            hint = _MEMORY_HINT if answer.kind == "memory" else "docs/how-to/ask-the-lake.md lists tables and examples"
            raise InvalidParams(answer.error, field="sql", hint=hint)
        rows = [[_read_cell(cell) for cell in row] for row in answer.rows]
        return QueryResult(answer.columns, rows, answer.truncated, round(time.monotonic() - began, 3))

    async def close(self) -> None:
        """Ends the processes that wait."""
        self._closed = True
        while self._waiting:
            await _end_process(self._waiting.popleft())

    @contextlib.asynccontextmanager
    async def _take_place(self, tenant: str) -> AsyncIterator[None]:
        if tenant in self._running:
            raise Unavailable("another query of this tenant is running", hint="send it again when that one has ended")
        if len(self._running) >= self._at_once:
            raise Unavailable(f"{self._at_once} queries are running", hint="send it again in some seconds")
        self._running.add(tenant)
        try:
            yield
        finally:
            self._running.discard(tenant)

    async def _ask(self, tenant: str, sql: str) -> _Answer:
        limits, location = self._limits, self._location
        request = msgspec.json.encode(
            {
                "root": location.root,
                "bucket": location.bucket,
                "tenant": tenant,
                "sql": sql,
                "seconds": limits.seconds,
                "memory_mib": limits.memory_mib,
                "max_rows": limits.max_rows,
                "max_bytes": limits.max_bytes,
            }
        )
        process = self._waiting.popleft() if self._waiting else await _start_process()
        try:
            await _wait_until_ready(process)
            async with asyncio.timeout(limits.seconds):
                told, _ = await process.communicate(request + b"\n")
        except TimeoutError:
            raise DeadlineExceeded(
                f"the query takes longer than {limits.seconds:g} s", hint="select fewer days, or aggregate"
            ) from None
        finally:
            await _end_process(process)
            await self._fill_reserve()
        try:
            return msgspec.json.decode(told, type=_Answer, strict=False)
        except msgspec.DecodeError:
            # The system has ended it at a limit.
            return _Answer(error="the query needs more memory or time than it may take", kind="memory")

    async def _fill_reserve(self) -> None:
        while not self._closed and len(self._waiting) < self._spares:
            self._waiting.append(await _start_process())


def check_installed() -> None:
    """Raises NotOffered if a package of the extra `lake` is missing."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise NotOffered(
                f"the lake needs the package {package}, which is not installed", hint="pip install 'comanda[lake]'"
            )


async def _start_process() -> asyncio.subprocess.Process:
    # Not the environment of the server: a query has nothing to find there.
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        *_PROGRAM,
        env=_ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )


async def _wait_until_ready(process: asyncio.subprocess.Process) -> None:
    """Waits until a process has loaded its libraries. Raises Unavailable."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            ready = await process.stdout.readline()
    except TimeoutError:
        ready = b""
    if not ready:
        raise Unavailable("the process of the query did not start", hint="send it again in some seconds")


async def _end_process(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    # Reads what is left in the pipes, so that they are closed.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ValueError):
        await process.communicate()


def _read_cell(cell: Any) -> Any:
    """Returns a value of a result; decimal numbers come as text."""
    if isinstance(cell, dict):
        if cell.keys() == {"decimal"}:
            return Decimal(cell["decimal"])
        return {name: _read_cell(value) for name, value in cell.items()}
    return [_read_cell(value) for value in cell] if isinstance(cell, list) else cell
