"""Servers as objects of the test's own process: see tests/support/in_process.py."""

import gc
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.gateway.http.openapi import describe_api
from services.gateway.http.routes import Route
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp
from tests.support.simulation import SimulatedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, type[SimulatedLoop]]:
    """Runs every test of this folder on a simulated loop."""
    return {"simulated": SimulatedLoop}


@pytest.fixture(autouse=True)
def thawed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps servers from freezing the objects of the tests for good."""
    monkeypatch.setattr(gc, "freeze", lambda: None)


_descriptions: dict[tuple[bool, tuple[tuple[str, str], ...]], bytes] = {}


@pytest.fixture(autouse=True)
def described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Describes the same routes once: it takes longer than all else that a gateway does to start."""

    def describe(routes: Sequence[Route], *, open_to_all: bool) -> bytes:
        key = open_to_all, tuple((route.method, route.path) for route in routes)
        if key not in _descriptions:
            _descriptions[key] = describe_api(routes, open_to_all=open_to_all)
        return _descriptions[key]

    monkeypatch.setattr("services.gateway.app.describe_api", describe)


@pytest.fixture(autouse=True)
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the servers log."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    """A suite of which no server runs yet."""
    async with Suite(tmp_path) as made:
        yield made


@pytest.fixture
async def http(suite: Suite) -> InProcessHttp:
    """A client of a gateway before the intake and the persistence server."""
    await suite.start_intake()
    await suite.start_persistence()
    return InProcessHttp(await suite.start_gateway())


@pytest.fixture
async def everything(suite: Suite) -> InProcessHttp:
    """A client of a gateway before all servers."""
    await suite.start_intake()
    await suite.start_persistence()
    await suite.start_distributed()
    return InProcessHttp(await suite.start_gateway())


@pytest.fixture
def cli(suite: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InProcessCli:
    """The command line, against the servers that run."""
    return InProcessCli(suite, capsys, monkeypatch)
