"""The commands around accounts of users, in this process."""

import pytest

from services.gateway.identity.first_administrator import FIRST_EMAIL, announce_first_administrator
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp

CONFIRM = "/api/v1/users/password/reset/confirm"
PASSWORD = "siete gatos verdes"


@pytest.fixture(autouse=True)
async def persistence(suite: Suite) -> int:
    """A persistence server."""
    return await suite.start_persistence()


async def use_link(suite: Suite, link: str, email: str) -> int:
    """Sets a password by a link and signs in; returns the status."""
    http = InProcessHttp(await suite.start_gateway())
    set_by_link = await http.post(CONFIRM, {"token": link.partition("token=")[2], "password": PASSWORD})
    assert set_by_link.status == 200, set_by_link.body
    return (await http.post("/api/v1/users/login", {"email": email, "password": PASSWORD})).status


async def test_an_account_is_added_and_its_owner_sets_the_password(suite: Suite, cli: InProcessCli) -> None:
    status, (added,), _ = await cli.run("user", "add", "ANA@x.es", "--role", "operator", "--first-name", "Ana")
    assert (status, added["email"], added["roles"], added["first_name"]) == (0, "ana@x.es", ["operator"], "Ana")
    assert added["link"].startswith("http://localhost:5000/admin/password#token=pr.main.")
    assert await use_link(suite, added["link"], "ana@x.es") == 200


async def test_an_account_is_listed_changed_and_blocked(cli: InProcessCli) -> None:
    for email in ("bea@x.es", "ana@x.es"):
        await cli.run("user", "add", email)
    assert [one["email"] for one in (await cli.run("user", "list"))[1]] == ["ana@x.es", "bea@x.es"]
    assert (await cli.run("user", "role", "ana@x.es", "admin"))[1][0]["roles"] == ["admin"]
    assert (await cli.run("user", "block", "ana@x.es"))[1][0]["active"] is False
    assert (await cli.run("user", "unblock", "ana@x.es"))[1][0]["active"] is True
    status, (reset,), _ = await cli.run("user", "reset", "ANA@x.es")
    assert (status, "token=pr.main." in reset["link"]) == (0, True)
    assert "ana@x.es" in (await cli.show_on_terminal("user", "list"))[1]


async def test_an_account_is_of_one_tenant(cli: InProcessCli) -> None:
    await cli.run("tenant", "add", "acme")
    _, (added,), _ = await cli.run("user", "add", "ana@x.es", "--tenant", "acme")
    assert "token=pr.acme." in added["link"]
    assert (await cli.run("user", "list"))[1] == []
    assert (await cli.run("user", "block", "ana@x.es"))[0] == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["add", "ana"], 1, "not an e-mail address"),
        (["add", "ana@x.es", "--tenant", "nobody"], 1, "there is no tenant nobody"),
        (["add", "ana@x.es", "--role", "root"], 2, ""),
        (["role", "ana@x.es", "admin"], 1, "no account has the address"),
        (["reset", "ana@x.es"], 1, "no account has the address"),
    ],
)
async def test_bad_input_is_refused(cli: InProcessCli, words: list[str], status: int, said: str) -> None:
    ended, _, told = await cli.run("user", *words)
    assert ended == status
    assert said in told


async def test_an_address_is_added_once(cli: InProcessCli) -> None:
    await cli.run("user", "add", "ana@x.es")
    status, _, told = await cli.run("user", "add", "ana@x.es")
    assert (status, "has this e-mail address" in told) == (1, True)


async def test_links_lead_to_the_gateway_of_this_machine(cli: InProcessCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIN_SERVER_PORT", "5050")
    _, (shown,), _ = await cli.run("user", "add", "ana@x.es")
    assert shown["link"].startswith("http://localhost:5050/shop/password#token=")


async def test_the_first_administrator_is_invited_once(
    suite: Suite, cli: InProcessCli, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    async with suite.persistence() as client:
        await announce_first_administrator(client, "http://localhost:5000")
        link = capsys.readouterr().err.splitlines()[-1]
        await announce_first_administrator(client, "http://localhost:5000")
    assert capsys.readouterr().err == ""
    assert await use_link(suite, link, FIRST_EMAIL) == 200
    assert [(one["email"], one["roles"]) for one in (await cli.run("user", "list"))[1]] == [(FIRST_EMAIL, ["admin"])]


async def test_an_installation_with_accounts_invites_nobody(
    suite: Suite, cli: InProcessCli, capsys: pytest.CaptureFixture[str]
) -> None:
    await cli.run("user", "add", "ana@x.es")
    async with suite.persistence() as client:
        await announce_first_administrator(client, "http://localhost:5000")
    assert capsys.readouterr().err == ""
