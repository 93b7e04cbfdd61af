"""The commands around tenants, in this process."""

import pytest

from clients.persistence import PersistenceClient
from clients.shop.books import create_book
from shared.domain.isbn import complete_isbn
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli


@pytest.fixture(autouse=True)
async def persistence(suite: Suite) -> int:
    """A persistence server."""
    return await suite.start_persistence()


async def test_first_tenant_is_there_once(suite: Suite, cli: InProcessCli) -> None:
    (found,) = (await cli.run("tenant", "list"))[1]
    assert (found["tenant"], found["active"]) == ("main", True)
    await cli.run("tenant", "set", "main", "--title", "La Librería")
    await suite.stop("tcp_persist_port")
    await suite.start_persistence()
    ((again,),) = [(await cli.run("tenant", "list"))[1]]
    assert (again["name"], again["created_at"]) == ("La Librería", found["created_at"])


async def test_tenant_is_added_and_changed(cli: InProcessCli) -> None:
    words = ["--currency", "EUR", "--tax", "books=4", "--tax", "a=b=21.5", "--origin", "https://acme.example"]
    words += ["--for-host", "acme.example", "--for-host", "www.acme.example", "--limit", "search=100/second"]
    status, (added,), _ = await cli.run("tenant", "add", "acme", "Acme Books", *words)
    assert status == 0
    assert (added["name"], added["currency"], added["exponent"], added["version"]) == ("Acme Books", "EUR", 2, 1)
    assert added["tax_rates"] == {"books": "4", "a=b": "21.5"}
    assert added["hosts"] == ["acme.example", "www.acme.example"]
    status, (changed,), _ = await cli.run("tenant", "set", "acme", "--no-active", "--for-host", "", "--exponent", "0")
    assert (status, changed["active"], changed["hosts"], changed["exponent"]) == (0, False, [], 0)
    assert (changed["limits"], changed["version"]) == ({"search": "100/second"}, 2)
    assert (await cli.run("tenant", "show", "acme"))[1] == [changed]
    assert [one["tenant"] for one in (await cli.run("tenant", "list"))[1]] == ["acme", "main"]
    assert "Acme Books" in (await cli.show_on_terminal("tenant", "list"))[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", ".."], "is not the name of a tenant"),
        (["add", "A/b"], "is not the name of a tenant"),
        (["add", "done"], "done is reserved"),
        (["add", "x" * 41], "is not the name of a tenant"),
        (["show", "."], "is not the name of a tenant"),
        (["add", "main"], "there is a tenant main already"),
        (["show", "nobody"], "there is no tenant nobody"),
        (["set", "nobody", "--title", "x"], "there is no tenant nobody"),
        (["set", "main", "--limit", "read=fast"], "limits"),
        (["set", "main", "--currency", "pesos"], "currency"),
        (["set", "main", "--no-active"], "stays active"),
        (["set", "main", "--tax", "books"], "is not NAME=VALUE"),
        (["set", "main"], "no setting was given"),
    ],
)
async def test_bad_input_is_refused(cli: InProcessCli, words: list[str], said: str) -> None:
    status, shown, told = await cli.run("tenant", *words)
    assert (status in (1, 2), shown) == (True, [])
    assert said in told


async def test_a_currency_brings_its_digits_and_prices_keep_them(cli: InProcessCli, suite: Suite) -> None:
    (yen,) = (await cli.run("tenant", "add", "tokio", "--currency", "JPY"))[1]
    (coarse,) = (await cli.run("tenant", "add", "coarse", "--currency", "EUR", "--exponent", "0"))[1]
    assert (yen["exponent"], coarse["exponent"]) == (0, 0)
    (dinar,) = (await cli.run("tenant", "set", "tokio", "--currency", "KWD"))[1]
    assert dinar["exponent"] == 3
    async with suite.persistence() as client:
        members = {"isbn": complete_isbn("978000000001"), "title": "T", "author": "A", "category": "C", "price": 1500}
        await create_book(client.of("tokio"), members, 1)
    for words in (["--currency", "JPY"], ["--exponent", "2"]):
        status, _, told = await cli.run("tenant", "set", "tokio", *words)
        assert (status, "the prices of 1 books have 3 decimals" in told) == (1, True)
    (same,) = (await cli.run("tenant", "set", "tokio", "--currency", "JPY", "--exponent", "3"))[1]
    assert (same["currency"], same["exponent"]) == ("JPY", 3)


async def test_host_leads_to_one_tenant(cli: InProcessCli) -> None:
    await cli.run("tenant", "add", "one", "--for-host", "shop.example")
    for words in (["add", "two"], ["set", "main"]):
        status, _, told = await cli.run("tenant", *words, "--for-host", "shop.example")
        assert (status, "belongs to the tenant one" in told) == (1, True)
    assert (await cli.run("tenant", "set", "one", "--for-host", "shop.example", "--title", "Uno"))[0] == 0


async def test_invalid_record_is_named(suite: Suite, cli: InProcessCli) -> None:
    async with PersistenceClient("127.0.0.1", suite.ports["tcp_persist_port"]) as client:
        await client.put_item("Tenants", {"tenant": "odd", "name": 1})
    status, shown, told = await cli.run("tenant", "list")
    assert (status, [one["tenant"] for one in shown]) == (0, ["main"])
    assert "the record of odd" in told
