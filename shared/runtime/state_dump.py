"""A snapshot of a process in its log on SIGUSR2, for the diagnosis of a stuck system.

A separate thread waits for the signal, so that a process with a blocked event loop answers too.
"""

import asyncio
import contextlib
import contextvars
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import structlog

_ROOT = f"{Path(__file__).parents[2]}{os.sep}"
_THREADS = 20
_FRAMES = 12
_TASKS = 5000
_TASK_PLACES = 30
_NAMES = 3
_NAME_CHARACTERS = 60
_AWAITS = 50


class StateDump:
    """Writes the event `state_dump`: the threads and tasks of the process, and the fields that `describe` returns.

    Every list is bounded, and frames are shown without their local variables. An event loop that does not answer within
    `loop_seconds` counts as blocked.
    """

    def __init__(self, *, loop_seconds: float = 1.0) -> None:
        self.describe: Callable[[], Mapping[str, Any]] = dict
        """Returns further fields. Called by the event loop, or by another thread if the loop is blocked."""
        self.find_children: Callable[[], Iterable[int]] = tuple
        """Returns the process ids of the children that get the signal too."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_seconds = loop_seconds
        self._ended = False

    @contextlib.contextmanager
    def on_signal(self) -> Iterator[None]:
        """Writes a snapshot at each SIGUSR2.

        Call it in the main thread and the event loop, before other threads start.
        """
        self._loop = asyncio.get_running_loop()
        # Later threads and processes inherit the mask, so that the waiting thread gets the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._wait_for_signals,), name="state dump", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended = True
            assert thread.ident is not None
            signal.pthread_kill(thread.ident, signal.SIGUSR2)
            thread.join()

    def _wait_for_signals(self) -> None:
        log = structlog.get_logger()
        while True:
            signal.sigwait({signal.SIGUSR2})
            if self._ended:
                return
            try:
                for pid in self.find_children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGUSR2)
                # A warning, so that it is logged at the usual levels.
                log.warning("state_dump", pid=os.getpid(), **self._collect_state())
            except Exception:
                log.exception("state_dump_failed")

    def _collect_state(self) -> dict[str, Any]:
        # Taken first: a call in the event loop would show its thread at work.
        threads = describe_threads()
        assert self._loop is not None
        answer = asyncio.run_coroutine_threadsafe(self._describe_loop(), self._loop)
        try:
            fields = answer.result(self._loop_seconds)
        except TimeoutError:
            answer.cancel()
            # By now the thread is at the place where it is blocked.
            return {"event_loop": "stuck", **self._describe_stuck_loop(), "threads": describe_threads()}
        return {"event_loop": "turning", **fields, "threads": threads}

    async def _describe_loop(self) -> dict[str, Any]:
        return self._describe_stuck_loop()

    def _describe_stuck_loop(self) -> dict[str, Any]:
        return {**self.describe(), **describe_tasks(self._loop)}


def describe_threads() -> list[dict[str, Any]]:
    """Returns the name and the frames of each thread except the calling one, innermost frames first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    others = ((ident, frame) for ident, frame in sys._current_frames().items() if ident != threading.get_ident())
    return [
        {
            "name": _shorten_name(names.get(ident, "?")),
            "stack": [_show_frame(one) for one in islice(_iterate_frames(frame), _FRAMES)],
        }
        for ident, frame in islice(others, _THREADS)
    ]


def describe_tasks(loop: asyncio.AbstractEventLoop | None) -> dict[str, Any]:
    """Returns the number of tasks, and the places where they wait, each with its count and some names."""
    tasks = asyncio.all_tasks(loop)
    names: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for task in islice(tasks, _TASKS):
        place = _find_place(task.get_coro())
        counts[place] += 1
        if counts[place] <= _NAMES:
            names.setdefault(place, []).append(_shorten_name(task.get_name()))
    places = [{"at": at, "count": count, "names": names[at]} for at, count in counts.most_common(_TASK_PLACES)]
    return {"tasks": len(tasks), "task_places": places}


def _find_place(waiting: Any) -> str:
    """Returns the place where a coroutine waits: the innermost line of this project, or of any file."""
    found = "?"
    for _ in range(_AWAITS):
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is None:
            break
        if found == "?" or _is_own_file(frame.f_code.co_filename):
            found = _show_frame(frame)
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return found


def _iterate_frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _show_frame(frame: FrameType) -> str:
    code: CodeType = frame.f_code
    file = code.co_filename
    shown = file.removeprefix(_ROOT) if _is_own_file(file) else "/".join(Path(file).parts[-2:])
    return f"{shown}:{frame.f_lineno} {_shorten_name(code.co_qualname)}"


def _is_own_file(file: str) -> bool:
    """Whether a file belongs to this project or to the handlers beside it."""
    return file.startswith(_ROOT) and "site-packages" not in file.removeprefix(_ROOT)


def _shorten_name(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 1] + "…"
