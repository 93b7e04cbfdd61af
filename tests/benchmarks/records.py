"""Records: an audited `set`, beside others that make the same two writes; and reads, audited and not."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.driver import Dialect, Outcome, drive
from tests.benchmarks.peers import FastApiService, RedisStreams, Server

_RECORDS = 1000
_DATA = {
    "cp": "3260",
    "CUIT": "30-70925411-8",
    "domicilio": "25 de Mayo 385-1P",
    "localidad": "Concepción del Uruguay",
    "provincia": "Entre Ríos",
    "telefono": "03442 43-1442",
}
"""About what a record of a branch office holds: 150 bytes of JSON."""
_BODY = json.dumps(_DATA, ensure_ascii=False).encode()


class _Comanda(Server):
    """Ours: validated, with an entry of the audit log chained by its hash, and the change in the feed."""

    name = "Comanda"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.persistence", "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {"PYTHONPATH": root, "ENV_FILE": "/dev/null", "DATA_DIR": str(self.folder / "data")}


def _comanda(request: Callable[[int], str]) -> Dialect:
    return Dialect([f"{request(number)}\n".encode() for number in range(_RECORDS)], answer=b'{"success":true')


_SET = _comanda(lambda number: f'{{"action":"set","id":"r{number}","data":{_BODY.decode()},"uuid":"bench"}}')
_GET = _comanda(lambda number: f'{{"action":"get","id":"r{number}","uuid":"bench"}}')
_SCORE = _comanda(lambda number: f'{{"action":"save_score","user_id":{number},"puntaje":1}}')
_GET_ITEM = _comanda(lambda number: f'{{"action":"get_item","table":"Scores","key":{{"user_id":{number}}}}}')


def _redis_words(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _redis() -> Dialect:
    requests = []
    for number in range(_RECORDS):
        entry = (b"CPUid", b"bench", b"sessionid", b"1", b"action", b"set", b"details", _BODY)
        commands = (
            (b"MULTI",),
            (b"HSET", b"r%d" % number, b"data", _BODY),
            (b"XADD", b"log", b"*", *entry),
            (b"EXEC",),
        )
        requests.append(b"".join(_redis_words(*words) for words in commands))
    return Dialect(requests, answer=b"*2\r\n")


def _fastapi() -> Dialect:
    head = b"HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    requests = [
        b"PUT /records/r%d %sContent-Length: %d\r\n\r\n%s" % (number, head, len(_BODY), _BODY)
        for number in range(_RECORDS)
    ]
    return Dialect(requests, answer=b"HTTP/1.1 200 OK")


class Records(NamedTuple):
    """Requests a second of each round, 50 connections with one in flight on each."""

    sets: dict[str, list[float]]
    """By server."""
    gets: list[float]
    items: list[float]
    item_p99_ms: list[float]


def records(rounds: int, seconds: float) -> Records:
    """Measures all of them in alternating rounds."""
    peers: list[tuple[type[Server], Dialect]] = [(_Comanda, _SET)]
    others: list[tuple[type[Server], Dialect]] = [(RedisStreams, _redis()), (FastApiService, _fastapi())]
    peers += [(kind, dialect) for kind, dialect in others if kind.missing() is None]
    found = Records({kind.name: [] for kind, _ in peers}, [], [], [])
    for _ in range(rounds):
        for kind, dialect in peers:
            with kind().running() as server:
                found.sets[kind.name].append(_drive(server, dialect, seconds).rate)
                if kind is _Comanda:
                    for filling in (_SET, _SCORE):
                        drive(server.port, filling, connections=1, window=32, seconds=60, limit=_RECORDS)
                    found.gets.append(_drive(server, _GET, seconds).rate)
                    items = _drive(server, _GET_ITEM, seconds)
                    found.items.append(items.rate)
                    found.item_p99_ms.append(items.p99_ms)
    return found


def _drive(server: Server, dialect: Dialect, seconds: float) -> Outcome:
    return drive(server.port, dialect, connections=50, window=1, seconds=seconds)
