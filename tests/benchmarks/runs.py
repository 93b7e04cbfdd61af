"""One run of a benchmark: what is missing is said first, and whatever fails, the rest is measured."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

_REMINDER_SECONDS = 15.0
_LONGEST_REASON = 500


class Run:
    """A run in progress; as a block it ends at Ctrl-C, so that what was measured by then can be written."""

    def __init__(self, *, reminder_seconds: float = _REMINDER_SECONDS) -> None:
        self.faults: list[str] = []
        """Everything that was not measured although nothing is missing for it."""
        self._reminder_seconds = reminder_seconds
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            return False
        self._note("interrupted: what has been measured is written, the rest is left out")
        return True

    def say(self, text: str) -> None:
        """Tells how far the run is."""
        sys.stdout.write(f"{time.monotonic() - self._began:6.0f} s  {text}\n")
        sys.stdout.flush()

    def say_missing(self, wanted: Iterable[tuple[str, str | None]]) -> None:
        """Tells which parts are left out, given with what each needs; None where all of it is there."""
        for name, needed in wanted:
            if needed is not None:
                self.say(f"{name} is left out: it needs {needed}")

    def measure(self, name: str, measure: Callable[[], T]) -> T | None:
        """Returns what a part has measured; None where it failed, which is noted in `faults`."""
        ended = threading.Event()
        reminder = threading.Thread(target=self._remind, args=(name, ended), daemon=True)
        reminder.start()
        began = time.monotonic()
        try:
            found = measure()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
            self._note(f"{name} failed at {place.filename}:{place.lineno}: {reason}")
            return None
        finally:
            ended.set()
            reminder.join()
        self.say(f"{name}: measured in {time.monotonic() - began:.0f} s")
        return found

    def _note(self, fault: str) -> None:
        self.faults.append(fault)
        self.say(fault)

    def _remind(self, name: str, ended: threading.Event) -> None:
        while not ended.wait(self._reminder_seconds):
            self.say(f"measuring {name}")
