"""The parts of uvicorn that the gateway overrides or reads are there: uvicorn promises none of them.

A new version of uvicorn is pinned in pyproject.toml once these tests and the integration tests of the gateway pass.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.server import HttpServer, _Gathering, _LimitedProtocol
from services.gateway.settings import GatewaySettings

# Of each override, the method of uvicorn that calls it; None: asyncio and httptools do.
OVERRIDES: dict[str, Callable[..., Any] | None] = {
    "connection_made": None,
    "connection_lost": None,
    "data_received": None,
    "on_message_begin": None,
    "on_headers_complete": None,
    "on_message_complete": None,
    "on_response_complete": HttpToolsProtocol.on_headers_complete,
    "send_400_response": HttpToolsProtocol.data_received,
}
# What uvicorn sets on each part that the gateway reads.
ATTRIBUTES = {
    HttpToolsProtocol: {"client", "connections", "cycle", "flow", "loop", "pipeline", "scope", "transport"},
    RequestResponseCycle: {"response_started", "response_complete"},
    FlowControl: {"read_paused"},
    ServerState: {"connections", "tasks"},
    uvicorn.Server: {"server_state", "should_exit"},
}


def parse_source(part: Any) -> ast.AST:
    """The syntax tree of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(part)))


def find_attributes(part: Any, context: type[ast.expr_context]) -> set[str]:
    """The attributes of `self` that a class reads (`ast.Load`) or sets (`ast.Store`)."""
    return {
        node.attr
        for node in ast.walk(parse_source(part))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, context)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def test_the_list_of_overrides_is_complete() -> None:
    ours = {name for name, value in vars(_LimitedProtocol).items() if not name.startswith("__")}
    theirs = {name for base in HttpToolsProtocol.__mro__[:-1] for name in vars(base)}
    assert ours & theirs == set(OVERRIDES)
    assert find_attributes(_LimitedProtocol, ast.Store) & find_attributes(HttpToolsProtocol, ast.Store) == set()


@pytest.mark.parametrize("name", OVERRIDES)
def test_overridden_methods_take_the_same_parameters(name: str) -> None:
    overridden = vars(HttpToolsProtocol)[name]
    ours = vars(_LimitedProtocol)[name]
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(overridden).parameters)


@pytest.mark.parametrize("name", [name for name, caller in OVERRIDES.items() if caller is not None])
def test_overridden_methods_are_called(name: str) -> None:
    caller = OVERRIDES[name]
    assert any(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(parse_source(caller)))


@pytest.mark.parametrize("part", ATTRIBUTES)
def test_attributes_that_the_gateway_reads_are_set(part: type) -> None:
    assert ATTRIBUTES[part] - find_attributes(part, ast.Store) - set(vars(part)) == set()


def test_the_list_of_attributes_is_complete() -> None:
    own = (
        set(vars(_LimitedProtocol))
        | find_attributes(_LimitedProtocol, ast.Store)
        | set(_LimitedProtocol.__annotations__)
    )
    assert find_attributes(_LimitedProtocol, ast.Load) - own == ATTRIBUTES[HttpToolsProtocol]


def test_the_transport_of_the_gateway_offers_what_uvicorn_uses() -> None:
    """It passes on everything else to the transport of the event loop."""
    assert set(vars(_Gathering)) >= {"write", "close", "is_closing", "__getattr__"}


async def test_the_server_takes_sockets_and_leaves_signals_alone() -> None:
    assert "sockets" in inspect.signature(uvicorn.Server.serve).parameters
    assert any(
        isinstance(node, ast.Attribute) and node.attr == "capture_signals"
        for node in ast.walk(parse_source(uvicorn.Server.serve))
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Answers nothing."""

    config = HttpServer(app, GatewaySettings()).config
    config.load()
    assert issubclass(config.http_protocol_class, _LimitedProtocol)
