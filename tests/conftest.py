"""Fixtures that more than one kind of test uses."""

import functools
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import botocore.httpsession
import botocore.loaders
import hypothesis
import pytest

from tests.support.dynamodb import CREDENTIALS, dynamodb_endpoint
from tests.support.intake import IntakeProcess, PersistenceProcess, Session

# How long an example takes depends on the machine, which may be busy.
hypothesis.settings.register_profile("default", hypothesis.settings(), deadline=None)
hypothesis.settings.register_profile("quick", max_examples=20)
"""For `make unit`; `make test` tries five times as many."""


def pytest_configure() -> None:
    """Gives Ctrl-C its meaning back, for what the tests start: a shell's jobs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Hides the modules and the collected tests from the garbage collector, whose full collections visit them all."""
    gc.freeze()


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a DynamoDB-compatible server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, os.environ.get(name, value))
        with dynamodb_endpoint() as endpoint:
            # Each client reads the descriptions of services and all certificates: 150 ms, and 17 with these two.
            patch.setattr("botocore.session.create_loader", functools.cache(botocore.loaders.create_loader))
            if endpoint.startswith("http://"):
                begin, _, rest = Path(botocore.httpsession.where()).read_text().partition("-----END")
                bundle = tmp_path_factory.mktemp("certificates") / "first.pem"
                bundle.write_text(f"{begin}-----END{rest.splitlines()[0]}\n")
                patch.setenv("AWS_CA_BUNDLE", str(bundle))
            yield endpoint


@pytest.fixture(scope="module")
def module_intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IntakeProcess]:
    """The intake of the tests that share one."""
    with IntakeProcess(tmp_path_factory.mktemp("intake") / "data") as process:
        yield process


@pytest.fixture
def intake(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[IntakeProcess]:
    """A running intake; `@pytest.mark.intake(NAME=value)` gives it settings.

    In a module marked `shared_intake` it is that of the module, with final orders of other tests; one marked `intake`
    has its own.
    """
    marker = request.node.get_closest_marker("intake")
    if marker is None and request.node.get_closest_marker("shared_intake"):
        shared: IntakeProcess = request.getfixturevalue("module_intake")
        with shared.connect() as connection:
            connection.wait_until("stats", "stats.abiertos", 0)
        yield shared
        return
    with IntakeProcess(tmp_path / "data", marker.kwargs if marker else None) as process:
        yield process


@pytest.fixture
def persistence(tmp_path: Path) -> Iterator[PersistenceProcess]:
    """A running persistence server."""
    with PersistenceProcess(tmp_path / "data") as process:
        yield process


@pytest.fixture
def records(persistence: PersistenceProcess) -> Iterator[Session]:
    """A connection to `persistence`."""
    with persistence.connect() as connection:
        yield connection


@pytest.fixture
def session(intake: IntakeProcess) -> Iterator[Session]:
    """A connection to `intake`, greeted."""
    with intake.connect() as connection:
        yield connection
