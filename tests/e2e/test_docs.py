"""Every snippet of the docs does what the docs say, on a running suite.

Documents whose snippets build on each other are for test_typed.py.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clients.cli.app import app
from tests.support.documents import TYPED, as_json, find_reason, read_blocks
from tests.support.intake import PATIENCE, IntakeProcess, PersistenceProcess
from tests.support.suite import SuiteProcess

ROOT = Path(__file__).parents[2]
DOCS = ("README.md", "docs/PROTOCOL.md", "docs/CLIENTS.md", "docs/SECURITY.md", "docs/ARCHITECTURE.md")
ENOUGH_PRINTS = 40
"""A snippet that shows events for ever has shown enough of them then."""
TYPED_IN_ORDER = tuple(chain(*TYPED))
"""Documents that test_typed.py types."""
NOT_RUN = {r"clients migrate\b": "wants the servers stopped, and two stores; tests/integration/clients/test_migrate.py"}
"""Commands that are only parsed, and why."""
KITCHEN_ORDER = ["--cliente", "Ana", "--direccion", "Mayor 1", "--follow", "--json"]


class Snippet(NamedTuple):
    """A block of code in the docs."""

    where: str
    language: str
    text: str
    section: str
    """The heading above it."""


def snippets(*languages: str) -> list[Snippet]:
    """The blocks of some languages, as parameters of a test."""
    found: list[Snippet] = []
    for name in DOCS:
        text = (ROOT / name).read_text()
        for block in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, block.start()) + 1
            heading = re.findall(r"^## (.*)$", text[: block.start()], re.MULTILINE)
            found.append(Snippet(f"{name}:{line}", block[1], block[2], heading[-1] if heading else ""))
    return [snippet for snippet in found if snippet.language in languages]


def untyped(*languages: str) -> list[Snippet]:
    """The blocks that stand for themselves."""
    return [one for one in snippets(*languages) if not one.where.startswith(TYPED_IN_ORDER)]


def named(snippet: Snippet) -> str:
    return snippet.where


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    """The suite with the handler that reserves stock."""
    folder = tmp_path_factory.mktemp("suite")
    settings = {
        "STAGE": "dev",
        "PROCESSING_SECONDS": "0",
        "JWT_SECRET": "a secret of at least 32 characters",
        "ORDER_HANDLER": "services.inventory.reserving:Reserving",
        "RATE_LIMIT": "none",
        "TENANT_LIMITS": "none",
    }
    with SuiteProcess(folder / "data", settings) as process:
        yield process


def test_there_are_snippets_of_every_kind() -> None:
    assert {snippet.language for snippet in snippets("python", "console", "json", "mermaid")} == {
        "python",
        "console",
        "json",
        "mermaid",
    }


# Python.


@pytest.mark.parametrize("snippet", [one for one in untyped("python") if "import Job" not in one.text], ids=named)
def test_python_that_uses_a_client_runs(suite: SuiteProcess, snippet: Snippet, tmp_path: Path) -> None:
    text = snippet.text.replace("ServiceClient()", "ServiceClient(port=PORT)")
    for number, port in suite.ports.items():
        text = text.replace(f", {number}", f", {port}")
    text = text.replace("PersistenceServiceClient(port=PORT)", f"PersistenceServiceClient(port={suite.ports[6000]})")
    text = text.replace("DistributedServiceClient(port=PORT)", f"DistributedServiceClient(port={suite.ports[7000]})")
    script = tmp_path / "snippet.py"
    if "async with" in text:
        text = f"import asyncio\nasync def main():\n{textwrap.indent(text, '    ')}\nasyncio.run(main())\n"
    elif "ok, reply" in text:
        text += "assert ok, reply\n"
    script.write_text(text)
    environ = {**suite.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, script], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        lines = [line for line, _ in zip(run.stdout, range(ENOUGH_PRINTS), strict=False)]
        if len(lines) == ENOUGH_PRINTS:
            run.kill()
            return
        _, errors = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, errors.decode()


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the handler of a snippet is imported from."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    return tmp_path / "kitchen.py"


def handlers() -> list[Snippet]:
    return [one for one in snippets("python") if one.text.startswith("# handlers/kitchen.py")]


def placed(intake: IntakeProcess, product: str) -> dict[str, Any]:
    """How an order from the command line has ended."""
    command = [sys.executable, "-m", "clients", "order", *KITCHEN_ORDER, "--producto", product, "--port"]
    ended = subprocess.run([*command, str(intake.port)], capture_output=True, timeout=PATIENCE, check=False)
    final: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return final


def test_handler_of_the_docs_refuses_a_product_however_it_is_ordered(tmp_path: Path, kitchen: Path) -> None:
    (plain,) = (one for one in handlers() if "async def cook" in one.text)
    kitchen.write_text(plain.text)
    with IntakeProcess(tmp_path / "data", {"ORDER_HANDLER": "kitchen:cook", "WORKER_COUNT": 1}) as intake:
        for product in ("veneno", "veneno:2", "veneno:2:0.50"):
            final = placed(intake, product)
            assert (final["estado"], final["detalle"]) == ("fallido", "not in this house")
        assert placed(intake, "pan:2")["estado"] == "listo"


def test_handler_of_the_docs_that_reserves_stock_works(tmp_path: Path, kitchen: Path) -> None:
    (reserving,) = (one for one in handlers() if "class Kitchen" in one.text)
    kitchen.write_text(reserving.text)
    with PersistenceProcess(tmp_path / "data") as records:
        settings: dict[str, str | int | float] = {
            "ORDER_HANDLER": "kitchen:Kitchen",
            "TCP_PERSIST_PORT": records.port,
            "WORKER_COUNT": 1,
        }
        with IntakeProcess(tmp_path / "data", settings) as intake:
            assert placed(intake, "Echo Dot:8")["estado"] == "listo"


def test_every_handler_of_the_docs_is_one_of_those_above() -> None:
    assert len(handlers()) == 2


# Shells and sessions.


@pytest.mark.parametrize("snippet", untyped("console"), ids=named)
def test_commands_go_as_they_are_shown(suite: SuiteProcess, snippet: Snippet, tmp_path: Path) -> None:
    for command in re.split(r"^\$ ", snippet.text, flags=re.MULTILINE)[1:]:
        run_command(suite, command.rstrip("\n"), tmp_path)


def compare(shown: Any, found: Any) -> None:
    """Sees that everything that is shown is there, under its name and of its kind."""
    if isinstance(shown, dict):
        assert shown.keys() <= found.keys(), (shown, found)
        for name, value in shown.items():
            compare(value, found[name])
    elif isinstance(shown, list):
        for one, other in zip(shown, found, strict=False):
            compare(one, other)
    elif shown is not None and found is not None and shown != "…":
        assert type(shown) is type(found), (shown, found)


def run_command(suite: SuiteProcess, command: str, folder: Path) -> None:
    """Runs a command of a shell in a folder that has orders in a file, and the samples."""
    (folder / "orders.ndjson").write_text('{"cliente":"a","productos":["x"],"direccion":"d"}\n' * 2)
    if any(re.search(pattern, command) for pattern in NOT_RUN):
        parse_client_command(command)
        return
    for name in ("docs", "clients"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    command = re.sub(r"\bpython -m", f"{shlex.quote(sys.executable)} -m", command)
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**suite.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, (command, ended)


def parse_client_command(line: str) -> None:
    """Raises what the command line raises for a command that it does not understand."""
    words = shlex.split(line)
    app.parse_args(words[words.index("clients") + 1 :], exit_on_error=False, print_error=False)


# The protocol.


@pytest.mark.parametrize("snippet", [one for one in snippets("json") if "PROTOCOL" in one.where], ids=named)
def test_requests_of_the_protocol_are_answered_as_shown(suite: SuiteProcess, snippet: Snippet) -> None:
    """Events and answers that stand alone are shown for their form: other tests bring them about."""
    documents = [as_json(line) for line in snippet.text.splitlines()]
    section = int(snippet.section.partition(".")[0])
    with suite.connect({7: 6000, 8: 7000}.get(section, 8888)) as session:
        if section < 7:
            compare(documents[0] if documents[0].get("event") == "hello" else {}, session.read())
        for number, document in enumerate(documents):
            if {"action", "cliente"}.isdisjoint(document) or not {"event", "estado"}.isdisjoint(document):
                continue
            answer = session.ask(document)
            assert answer["success"], answer
            if documents[number + 1 :] and "success" in documents[number + 1]:
                compare(documents[number + 1], answer)


def test_client_commands_that_nobody_types_are_understood() -> None:
    """Those in containers, and those in the middle of a sentence."""
    lines = [
        line
        for document in TYPED_IN_ORDER
        for block in read_blocks(document)
        for line in block.text.splitlines()
        if find_reason(line) and "python -m clients" in line
    ]
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = path.read_text()
        lines += re.findall(r"^```text\n(python -m clients .*)$", text, re.MULTILINE)
        lines += re.findall(r"`(\S*python -m clients [a-z][^`\s]* [^`]*--[^`]*)`", text)
    assert len(lines) > 2
    for line in lines:
        parse_client_command(line)
