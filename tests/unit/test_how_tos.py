"""The snippets of the how-tos for developers work in the modules that they name."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clients.persistence import ItemPage, StoredItem
from services.distributed import actions as distributed_actions
from services.gateway import settings as gateway_settings
from services.gateway.http.openapi import describe_api
from services.gateway.http.routes import HttpRequest, collect_routes
from shared.domain import tables
from shared.domain.errors import NotFound, StartupError
from shared.domain.records import Condition, Put, Table, Transaction
from shared.runtime.settings import load_settings
from shared.server.actions import ActionRegistry
from shared.stores.ports.records import ItemLookup, RecordQuery
from tests.support.memory_records import MemoryRecords, MemoryRecordStore

FOLDER = Path(__file__).parents[2] / "docs/how-to"
BLOCK = re.compile(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_snippet(how_to: str, path: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Returns `namespace` after a snippet has run in it."""
    (snippet,) = (text for name, text in BLOCK.findall((FOLDER / how_to).read_text()) if name == path)
    exec(compile(snippet, f"{how_to}:{path}", "exec"), namespace)
    return namespace


@pytest.fixture
def branches(monkeypatch: pytest.MonkeyPatch) -> Table:
    """The table of the how-to, declared in its module."""
    found: Table = run_snippet("add-a-table.md", "shared/domain/tables.py", dict(vars(tables)))["BRANCHES"]
    monkeypatch.setattr(tables, "BRANCHES", found, raising=False)
    return found


def test_action_is_parsed_and_answered() -> None:
    registry: ActionRegistry[Any] = ActionRegistry()
    run_snippet(
        "add-an-action.md", "services/distributed/actions.py", {**vars(distributed_actions), "ACTIONS": registry}
    )
    (document,) = re.findall(r"^```json\n(.*)$", (FOLDER / "add-an-action.md").read_text(), re.MULTILINE)
    (verb,) = re.findall(r"The verb is `([^`]+)`", (FOLDER / "add-an-action.md").read_text())
    for parsed in (registry.decode(document.encode(), "list_topics"), registry.parse_verb(verb)):
        assert parsed.action.handler(None, parsed.request, None) == {"topics": ["scores", "stock"]}
    assert registry.help_lines(30) == ["list_topics [PREFIX]          topics that you can subscribe to"]


class StoreClient:
    """The calls of the how-to's client, on a store in memory."""

    def __init__(self, table: Table) -> None:
        self._store = MemoryRecordStore(MemoryRecords(), tables.Tables(table))

    async def put_item(self, table: str, item: dict[str, Any], *, when: Condition) -> None:
        """Stores an item."""
        (written,) = await self._store.write([Transaction("main", [Put(table, item, when=when)])])
        assert not isinstance(written, Exception), written

    async def get_item(self, table: str, key: dict[str, Any]) -> StoredItem:
        """Returns an item, None where there is none."""
        (found,) = await self._store.get([ItemLookup("main", table, key)])
        return StoredItem(None, 0) if found is None else StoredItem(found.item, found.version)

    async def query(self, table: str, index: str, *, partition: str) -> ItemPage:
        """Returns a page of an index."""
        page = await self._store.query(RecordQuery("main", table, index=index, partition=partition))
        return ItemPage([StoredItem(record.item, record.version) for record in page.records], None)


async def test_items_of_the_table_are_found_by_their_index(branches: Table) -> None:
    namespace = run_snippet("add-a-table.md", "branches.py", {})
    assert await namespace["add_branch"](StoreClient(branches)) == ["Centro"]


async def test_route_is_served_and_described(branches: Table) -> None:
    namespace = run_snippet("add-a-route.md", "services/gateway/api/branches.py", {"__name__": "branches"})
    client = StoreClient(branches)
    await client.put_item("Branches", {"id": "b1", "city": "C", "name": "Centro"}, when=Condition())
    (route,) = collect_routes(namespace["BranchRoutes"](SimpleNamespace(at_once=client)))
    response = await route.handler(HttpRequest({"type": "http"}, "r", {"id": "b1"}))
    assert (response.status, response.body) == (200, b'{"id":"b1","city":"C","name":"Centro"}')
    with pytest.raises(NotFound):
        await route.handler(HttpRequest({"type": "http"}, "r", {"id": "b2"}))
    assert "/branches/{id}" in str(describe_api([route], open_to_all=True))


def test_setting_is_read_and_bounded() -> None:
    kind = run_snippet("add-a-setting.md", "services/gateway/settings.py", dict(vars(gateway_settings)))[
        "GatewaySettings"
    ]
    assert load_settings(kind, flags={}, environ={"ENV_FILE": "/dev/null", "MAX_BRANCHES": "7"}).max_branches == 7
    with pytest.raises(StartupError, match="MAX_BRANCHES"):
        load_settings(kind, flags={}, environ={"ENV_FILE": "/dev/null", "MAX_BRANCHES": "0"})


def test_every_python_snippet_of_the_how_tos_is_checked() -> None:
    checked = {"add-an-action.md": 1, "add-a-table.md": 2, "add-a-route.md": 1, "add-a-setting.md": 1}
    # test_typed.py types this one.
    checked["write-a-handler.md"] = 1
    found = {path.name: path.read_text().count("```python\n") for path in FOLDER.glob("*.md")}
    assert {name: count for name, count in found.items() if count} == checked
