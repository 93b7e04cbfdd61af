"""Servers as objects of the test's own process: see tests/support/in_process.py."""

import functools
import gc
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.gateway.http.openapi import describe_api
from services.gateway.http.routes import Route
from services.gateway.http.static_files import StaticFiles
from services.gateway.identity.blocklist import FrequentPasswords
from services.gateway.identity.hashing import PasswordHashing
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


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes passwords with a hundredth of the memory that the settings name; hashes took a tenth of these tests."""

    def build(*, memory_kib: int, rounds: int) -> PasswordHashing:
        return PasswordHashing(memory_kib=memory_kib // 100, rounds=rounds)

    monkeypatch.setattr("services.gateway.identity.account_services.PasswordHashing", build)


_load_passwords = functools.cache(FrequentPasswords)
_list_files = functools.cache(StaticFiles)
_descriptions: dict[tuple[bool, tuple[tuple[str, str], ...]], bytes] = {}


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares what is the same for every gateway: it takes longer than all else that a gateway does to start."""

    def describe(routes: Sequence[Route], *, open_to_all: bool) -> bytes:
        key = open_to_all, tuple((route.method, route.path) for route in routes)
        if key not in _descriptions:
            _descriptions[key] = describe_api(routes, open_to_all=open_to_all)
        return _descriptions[key]

    monkeypatch.setattr("services.gateway.app.describe_api", describe)
    monkeypatch.setattr("services.gateway.app.StaticFiles", _list_files)
    monkeypatch.setattr("services.gateway.identity.account_services.FrequentPasswords", _load_passwords)


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
