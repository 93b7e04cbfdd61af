"""The wheel, installed as users do, from a folder that has packages named like those of the program."""

import os
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.intake import PATIENCE
from tests.support.ports import hold_port
from tests.support.suite import PORTS
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
PACKAGES = ("clients", "services", "shared", "workers")
HANDLER = """\
from workers.handlers import Job, Reject


async def cook(job: Job) -> None:
    raise Reject("cooked by the module in handlers")
"""

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="`make setup` installs hatchling")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel; what the wheel depends on is borrowed from this one."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pip += ["--python", str(environment / "bin/python"), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    # Behind the wheel's packages; files of paths in there are not read.
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert all((packages / name / "py.typed").exists() for name in PACKAGES)
    assert (packages / "clients/samples/books.csv").exists()  # for `shop demo`
    return environment / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of somebody else's, whose packages end whatever imports them."""
    for name in (*PACKAGES, "handlers/shared"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('this is {name} of another project')\n")
    (tmp_path / "handlers/kitchen.py").write_text(HANDLER)
    return tmp_path


class Ports:
    """Keeps ports for a test."""


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """Ports of this test, and no setting of whoever runs it."""
    owner = Ports()
    ports = {setting: str(hold_port(owner)) for setting in PORTS}
    inherited = {name: value for name, value in os.environ.items() if name not in ("STAGE", "JWT_SECRET", "PYTHONPATH")}
    yield {**inherited, **ports, "ORDER_HANDLER": "kitchen:cook", "LOG_FORMAT": "json"}
    # Held until here.
    del owner


@pytest.fixture
def suite(programs: Path, folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`comanda run` from that folder."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [programs / "comanda", "run"], cwd=folder, env=environ, stderr=log, stdout=log, text=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_commands_are_listed_and_name_themselves(programs: Path, folder: Path, environ: dict[str, str]) -> None:
    # The path of a temporary folder may be longer than a line of the help.
    wide = environ | {"COLUMNS": "300"}
    shown = subprocess.run(
        [programs / "comanda", "--help"], cwd=folder, env=wide, check=True, capture_output=True, text=True
    ).stdout
    assert "comanda COMMAND" in shown
    assert "Start every server of the suite" in shown
    assert "Place orders" in shown


def test_suite_runs_from_any_folder_with_the_handlers_there(
    programs: Path, folder: Path, environ: dict[str, str], suite: subprocess.Popen[str]
) -> None:
    log = folder / "log"
    until(log.read_text, lambda text: '"event": "ready"' in text or suite.poll() is not None)
    assert suite.poll() is None, log.read_text()
    order = ["order", "--cliente", "Ana", "--producto", "pan", "--direccion", "Mayor 1", "--follow"]
    placed = subprocess.run(
        [programs / "comanda", *order], cwd=folder, env=environ, check=False, capture_output=True, text=True
    )
    assert placed.returncode == 1
    assert "cooked by the module in handlers" in placed.stderr
    page = f"http://localhost:{environ['MAIN_SERVER_PORT']}/"
    asked = urllib.request.Request(page, headers={"Accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        assert b"<html" in answer.read()
    with urllib.request.urlopen(f"{page}docs", timeout=PATIENCE) as answer:
        assert b"swagger" in answer.read()
    suite.send_signal(signal.SIGTERM)
    assert suite.wait(PATIENCE) == 0
    assert (folder / "data/orders.db").exists()
