"""The command line within a simulated loop: the words of a command in, its exit status, results and errors out."""

import io
import json
import sys
from decimal import Decimal
from typing import Any

import pytest
from cyclopts import CycloptsError

from clients.cli.app import app
from clients.cli.output import print_error
from clients.errors import WrongUsage
from shared.domain.errors import ComandaError
from tests.support.in_process import Suite

_USAGE = 2


class _Input(io.TextIOWrapper):
    """Stands in for standard input."""


class InProcessCli:
    """Runs commands as scripts do, against the servers of a suite."""

    def __init__(self, suite: Suite, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._suite = suite
        self._capture = capture
        self._patch = patch

    async def run(self, *words: str, stdin: str = "") -> tuple[int, list[Any], str]:
        """Runs a command: its exit status, its results, and what it wrote to standard error."""
        status, shown, told = await self.show(*words, stdin=stdin)
        return status, [json.loads(line, parse_float=Decimal) for line in shown.splitlines()], told

    async def show_on_terminal(self, *words: str, width: str = "120", stdin: str = "") -> tuple[int, str, str]:
        """Runs a command as if its input and output were a terminal: its exit status, and what people see."""
        with self._patch.context() as patch:
            patch.setenv("COLUMNS", width)
            patch.setattr(_Input, "isatty", lambda _: True)
            patch.setattr(type(sys.stdout), "isatty", lambda _: True)
            return await self.show(*words, stdin=stdin)

    async def show(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        """Runs a command: its exit status, and what it wrote to standard output and to standard error."""
        with self._patch.context() as patch:
            patch.setenv("ENV_FILE", "/dev/null")
            for name, port in self._suite.ports.items():
                patch.setenv(name.upper(), str(port))
            patch.setattr(sys, "stdin", _Input(io.BytesIO(stdin.encode())))
            self._capture.readouterr()
            try:
                status = await app.run_async(words, exit_on_error=False)
            except (CycloptsError, WrongUsage) as error:
                status = _USAGE
                if isinstance(error, ComandaError):
                    print_error(error)
            except ComandaError as error:
                status = print_error(error)
        written = self._capture.readouterr()
        return status, written.out, written.err
