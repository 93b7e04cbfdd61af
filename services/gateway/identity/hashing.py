"""Password hashing with argon2id, in few threads and with a bound on the hashes that wait.

A hash takes 17 ms of CPU and 19 MiB (OWASP's parameters; the library's default takes 158 ms and 64 MiB). Unbounded,
150 sign-ins at once took 858 MiB in the threads of asyncio's own executor.
"""

import asyncio
import contextlib
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError

from shared.domain.errors import ErrorReason, Unavailable

T = TypeVar("T")

MEMORY_KIB = 19_456
ROUNDS = 2
"""https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html: argon2id, m=19 MiB, t=2, p=1."""

_MAX_THREADS = 2
_MAX_WAITING = 16
_RETRY_MS = 1000
_NICENESS = 10
# Bounds of stored parameters: a hash from elsewhere must not take the machine's memory or minutes of a thread.
_MAX_MEMORY_KIB = 65_536
_MAX_ROUNDS = 16
_MAX_LANES = 4
_MAX_HASH_BYTES = 64


class PasswordHashing:
    """Hashes and verifies passwords in two threads; at most 16 hashes wait.

    `reserve` takes a place for all the hashes of one request before anything is looked up for it.
    """

    def __init__(self, *, memory_kib: int = MEMORY_KIB, rounds: int = ROUNDS) -> None:
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        threads = min(_MAX_THREADS, os.cpu_count() or 1)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="password", initializer=_lower_priority)
        self._places = threads + _MAX_WAITING
        self._log = structlog.get_logger()

    def reserve(self) -> "HashingPlace":
        """Returns a place, to be used in a `with` block. Raises Unavailable if all are taken."""
        if self._places == 0:
            raise Unavailable(
                "too many passwords are being checked",
                hint="try again later",
                details={"retry_after_ms": _RETRY_MS},
                reason=ErrorReason("sign_ins_busy"),
            )
        self._places -= 1
        return HashingPlace(self)

    def close(self) -> None:
        """Ends the threads after the running hashes."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def submit(self, function: Callable[..., T], *values: Any) -> "asyncio.Future[T]":
        """Starts a function in one of the threads."""
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *values)

    def release(self) -> None:
        """Returns one place."""
        self._places += 1

    def hash_password(self, password: str) -> str:
        """Returns the hash of a password; blocks for 17 ms."""
        return self._hasher.hash(password)

    def verify_hash(self, stored: str | None, password: str) -> bool:
        """Whether a password belongs to a stored hash; blocks as long without one."""
        dummy = self._dummy
        if stored is not None and not has_bounded_parameters(stored):
            self._log.error("password_hash_out_of_bounds")
            stored = None
        try:
            return self._hasher.verify(stored or dummy, password) and stored is not None
        except (Argon2Error, InvalidHashError):
            return False

    @cached_property
    def _dummy(self) -> str:
        """The hash that is verified for accounts that do not exist, so that they take as long as those that do."""
        return self._hasher.hash(secrets.token_hex())

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash has other parameters than new ones."""
        return self._hasher.check_needs_rehash(stored)


class HashingPlace:
    """A reserved place. It is free again after the block and after its last hash, even if the client has gone."""

    def __init__(self, hashing: PasswordHashing) -> None:
        self._hashing = hashing
        self._running: asyncio.Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        running = self._running
        if running is None or running.done():
            self._hashing.release()
            return
        # The task was cancelled, and the thread still works.
        running.add_done_callback(self._release_late)

    async def hash(self, password: str) -> str:
        """Returns the hash of a password."""
        return await self._run(self._hashing.hash_password, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether a password belongs to a stored hash; None is never right, and takes as long."""
        return await self._run(self._hashing.verify_hash, stored, password)

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash has other parameters than new ones."""
        return self._hashing.needs_rehash(stored)

    async def _run(self, function: Callable[..., T], *values: Any) -> T:
        running = self._running = self._hashing.submit(function, *values)
        # Shielded: a client that has gone must not make room while its hash runs.
        return await asyncio.shield(running)

    def _release_late(self, ended: "asyncio.Future[Any]") -> None:
        if not ended.cancelled():
            # Marked as seen: nobody waits for the result.
            ended.exception()
        self._hashing.release()


def _lower_priority() -> None:
    """Lets the event loop go first where all cores are busy. On Linux a priority is that of a thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def has_bounded_parameters(stored: str) -> bool:
    """Whether a stored hash is argon2id with parameters that this server may be made to compute."""
    try:
        found = extract_parameters(stored)
    except InvalidHashError:
        return False
    return (
        found.type is Type.ID
        and found.memory_cost <= _MAX_MEMORY_KIB
        and found.time_cost <= _MAX_ROUNDS
        and found.parallelism <= _MAX_LANES
        and found.hash_len <= _MAX_HASH_BYTES
    )
