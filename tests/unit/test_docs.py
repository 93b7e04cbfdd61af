"""The docs say what is: paths, commands, settings, codes and states that they name exist."""

import ast
import datetime
import re
import tomllib
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from clients.cli.app import app
from services.distributed.actions import ACTIONS as DISTRIBUTED_ACTIONS
from services.distributed.events import TOPICS
from services.gateway.http.problems import STATUS
from services.intake.actions import ACTIONS as INTAKE_ACTIONS
from services.persistence.actions import ACTIONS as PERSISTENCE_ACTIONS
from shared import VERSION
from shared.domain import errors
from shared.domain.states import TRANSITIONS, mermaid
from shared.runtime import setting_names
from tests.chaos.rounds import ROUNDS
from tests.tools.settings_reference import SERVERS, read_groups, render_reference

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
STATES = re.compile(r"<!-- states:begin [^\n]*-->\n(.*?)<!-- states:end -->", re.DOTALL)
# Names in capitals that are not settings: file formats, words of the protocol, other programs' names.
NOT_SETTINGS = {"COMANDA_PARENT_PID", "COMANDA_READY_FD", "ENV_FILE"}
ADDRESSES = ("server", "tcp_persist", "distributed", "main_server")
DIFFERENT: dict[str, set[str]] = {
    ".env.local": {"stage"},
    ".env.docker": {
        "data_dir",
        "log_format",
        "max_connections_per_address",
        "max_event_streams_per_address",
        *(f"{server}_{part}" for server in ADDRESSES for part in ("host", "bind")),
        "open_internal_ports",
        "stage",
    },
}
SETTINGS = {field.encode_name.upper(): field for kind in SERVERS.values() for field in msgspec.structs.fields(kind)}
"""Every setting of every server; where two have the same it means the same."""


def codes() -> set[str]:
    """Every error code that can reach a client."""
    found: set[str] = set()
    kinds: list[type[errors.ComandaError]] = [errors.ComandaError]
    while kinds:
        kind = kinds.pop()
        if kind.__module__ == errors.__name__:
            found.add(kind.code)
            kinds += kind.__subclasses__()
    return found - {errors.StartupError.code}


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: str(doc.name))
def test_paths_that_are_named_exist(doc: Path) -> None:
    text = doc.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert all((doc.parent / link).exists() for link in links), links
    paths = set(re.findall(r"`((?:services|workers|shared|clients|tests|docs)/[\w/.]+)`", text))
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: str(doc.name))
def test_headings_that_are_linked_exist(doc: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", doc.read_text()):
        target = (doc.parent / path) if path else doc
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: str(doc.name))
def test_commands_that_are_named_exist(doc: Path) -> None:
    text = doc.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    modules = set(re.findall(r"python -m ((?:services|clients|workers|tests)[\w.]*)", text))
    assert all((ROOT / module.replace(".", "/")).is_dir() for module in modules)
    commands = {name for name in app if not name.startswith("-")}
    assert set(re.findall(r"python -m clients ([a-z]+)", text)) <= commands


def test_every_round_of_the_fault_harness_is_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/RELIABILITY.md").read_text(), re.MULTILINE)
    assert described == list(ROUNDS)


def test_every_command_of_the_clients_is_described() -> None:
    text = (ROOT / "docs/CLIENTS.md").read_text()
    assert not [name for name in app if not name.startswith("-") and f"`{name}" not in text]


@pytest.mark.parametrize("name", [".env.local", ".env.docker"])
def test_settings_files_have_every_setting_at_its_default(name: str) -> None:
    lines = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / name).read_text(), re.MULTILINE))
    assert set(lines) == set(SETTINGS)
    for setting, field in SETTINGS.items():
        value = lines[setting]
        if field.encode_name not in DIFFERENT[name] and value:
            assert msgspec.convert(value, field.type, strict=False) == field.default, field.encode_name


def test_reference_of_the_settings_is_up_to_date() -> None:
    assert (ROOT / "docs/SETTINGS.md").read_text() == render_reference(), "run: make settings"


@pytest.mark.parametrize("name", [".env.local", ".env.docker"])
def test_every_setting_is_explained(name: str) -> None:
    assert all(group.section and group.comment for group in read_groups(ROOT / name))


def test_names_of_settings_are_those_of_the_servers() -> None:
    assert set(SETTINGS) == setting_names.NAMES


def test_settings_that_are_named_exist() -> None:
    for doc in DOCS:
        named = set(re.findall(r"`([A-Z]{2,}(?:_[A-Z]+)+)(?:=[^`]*)?`", doc.read_text()))
        assert named - NOT_SETTINGS <= set(SETTINGS), doc


def test_limits_in_the_protocol_are_the_defaults() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|", (ROOT / "docs/PROTOCOL.md").read_text(), re.MULTILINE)
    assert rows
    assert all(float(SETTINGS[name].default) == float(value) for name, value in rows)


def test_every_reason_of_an_error_is_in_the_protocol_with_its_values() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ((?:`[a-z_]+`(?:, )?)*) ?\|", _codes_of_errors(), re.MULTILINE)
    described = {code: sorted(re.findall(r"[a-z_]+", params)) for code, params in rows[1:]}
    used: dict[str, set[str]] = {}
    for folder in ("services", "clients", "shared", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "ErrorReason(" in text else ():
                if not isinstance(node, ast.Call) or ast.unparse(node.func) != "ErrorReason":
                    continue
                if isinstance(code := node.args[0], ast.Constant):
                    used.setdefault(str(code.value), set()).update(str(keyword.arg) for keyword in node.keywords)
    assert {code: sorted(names) for code, names in used.items()} == described


def _codes_of_errors() -> str:
    text = (ROOT / "docs/PROTOCOL.md").read_text()
    return text.partition("### Codes of errors")[2].partition("\n### ")[0]


def test_every_action_verb_event_and_code_is_in_the_protocol() -> None:
    text = (ROOT / "docs/PROTOCOL.md").read_text()
    assert not [topic for topic in TOPICS if f"`{topic}`" not in text]
    actions = (*INTAKE_ACTIONS.actions, *PERSISTENCE_ACTIONS.actions, *DISTRIBUTED_ACTIONS.actions)
    assert not [name for name in actions if f'{{"action":"{name}"' not in text]
    assert not [step.event for step in TRANSITIONS if f"`{step.event}`" not in text]
    assert not [code for code in codes() if f"| `{code}` |" not in text]


def test_every_operation_and_status_of_the_gateway_is_in_the_protocol() -> None:
    text = (ROOT / "docs/PROTOCOL.md").read_text().partition("## 10. ")[2]
    files = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "services/gateway/api").rglob("*.py"))
    modules = [import_module(".".join(path.parts)) for path in files if path.name != "__init__"]
    kinds = {kind for module in modules for name, kind in vars(module).items() if name.endswith("Routes")}
    paths = {one.path for kind in kinds for method in vars(kind).values() for one in getattr(method, "__routes__", ())}
    assert len(paths) >= 20
    assert not [path for path in paths if path not in text]
    assert not [code for code, status in STATUS.items() if f"`{code}`" not in text or str(status) not in text]


@pytest.mark.parametrize("name", ["docs/PROTOCOL.md", "docs/ARCHITECTURE.md"])
def test_picture_of_the_states_is_drawn_from_the_table(name: str) -> None:
    found = STATES.search((ROOT / name).read_text())
    assert found is not None
    assert found[1].strip() == f"```mermaid\n{mermaid()}\n```"


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: str(path.name))
def test_decision_has_a_date_a_context_options_a_choice_and_a_price(path: Path) -> None:
    number = path.name[:4]
    heading, _, rest = path.read_text().partition("\n\nDate: ")
    assert re.fullmatch(rf"# {number}\. [^\n]+", heading)
    date, *sections = re.split(r"\n\n## (?=\w+\n\n\S)", rest)
    datetime.date.fromisoformat(date)
    assert [section.partition("\n")[0] for section in sections] == ["Context", "Options", "Choice", "Price"]
    row = f"| {number} | {date} | [{heading[8:]}](decisions/{path.name}) |"
    assert row in (ROOT / "docs/ARCHITECTURE.md").read_text().splitlines()


def test_decisions_are_numbered_one_after_the_other() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_version_of_python_is_the_one_that_the_package_requires(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = re.findall(r"needs? Python ([\d.]+) or newer", (ROOT / name).read_text())
    assert project["requires-python"] == f">={version}"


def test_index_of_the_docs_has_every_page() -> None:
    links = set(re.findall(r"\]\(([^)#]+)", (ROOT / "docs/README.md").read_text()))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in DOCS[1:] if path not in DECISIONS}
    assert pages - {"README.md"} <= links


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert re.fullmatch(rf"## {re.escape(VERSION)} \(\d{{4}}-\d\d-\d\d\)", headings[0])
    shown = [
        re.findall(r'"version":"([^"]+)"', (ROOT / page).read_text()) for page in ("README.md", "docs/PROTOCOL.md")
    ]
    assert {version for versions in shown for version in versions} == {VERSION}
