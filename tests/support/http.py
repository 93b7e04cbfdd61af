"""A plain HTTP client: one request, one answer."""

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.intake import PATIENCE, GatewayProcess


class Reply(NamedTuple):
    """An answer; headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document that this has to be."""
        assert self.headers["content-type"] == "application/problem+json", self
        found: dict[str, Any] = self.json
        assert found["status"] == self.status
        assert found["type"] == f"urn:comanda:error:{found['error']}"
        assert found["title"]
        assert found["detail"]
        assert found["request_id"]
        return found


class Http:
    """Asks a gateway, each time over a new connection."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> Reply:
        """Sends a request; a body that is not bytes goes as JSON."""
        sent = dict(headers or {})
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(host, self._gateway.port, timeout=PATIENCE)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        """GET, with headers whose underscores stand for hyphens."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        """POST, likewise."""
        return self.ask("POST", path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class EventStream:
    """A stream of server-sent events."""

    def __init__(self, gateway: GatewayProcess, query: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/api/v1/events{query}", headers=sent)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        assert self._answer.headers["Content-Type"] == "text/event-stream"
        assert self._answer.readline() == b"retry: 1000\n"

    def events(self) -> Iterator[dict[str, Any]]:
        """Each event with its number, until the stream ends."""
        number: int | None = None
        name = ""
        for raw in self._answer:
            line = raw.decode().rstrip("\n")
            field, _, value = line.partition(": ")
            if not line:
                number = None
            elif field == "id":
                number = int(value)
            elif field == "event":
                name = value
            elif field == "data":
                event = json.loads(value)
                assert event["event"] == name
                assert event.get("seq") == number
                if name != "heartbeat":
                    yield event
                number = None

    def next(self, *names: str) -> list[dict[str, Any]]:
        """The next events, which have to have these names."""
        stream = self.events()
        found = [next(stream) for _ in names]
        assert [event["event"] for event in found] == list(names)
        return found

    def close(self) -> None:
        """Leaves."""
        self._connection.close()

    def __enter__(self) -> "EventStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
