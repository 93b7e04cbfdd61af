"""Clients of the persistence server that keep book of what was acknowledged, and the proof that it holds."""

import contextlib
import json
import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

from tests.chaos.history import Findings
from tests.support.intake import PATIENCE, PersistenceProcess, Session

_CLIENTS = 3
_WINDOW = 16
_RECORDS = 25


class _Client:
    """Sends windows of `set` and `save_score`, each about a record or a user of its own."""

    def __init__(self, number: int, doubtful: str | None) -> None:
        self.number = number
        self._doubtful = doubtful
        self.doubts = 0
        self.sent: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.last_sent: dict[str, int] = {}
        self.last_acknowledged: dict[str, int] = {}
        self.faults: list[str] = []
        """Answers that should not be."""
        self._next = 1

    def window(self, session: Session) -> None:
        """Sends a window and takes its answers. Raises OSError, or AssertionError at the end of the stream."""
        numbers = range(self._next, self._next + _WINDOW)
        self._next += _WINDOW
        lines = []
        for number in numbers:
            name = self._name(number)
            self.sent[name] += 1
            self.last_sent[name] = number
            if name == self.user:
                lines.append({"action": "save_score", "user_id": self.number, "puntaje": number})
            else:
                lines.append({"action": "set", "id": name, "data": {"n": number}})
        session.send("".join(json.dumps(line) + "\n" for line in lines))
        for number in numbers:
            answer = session.read()
            name = self._name(number)
            if answer["success"]:
                self.acknowledged[name] += 1
                self.last_acknowledged[name] = number
            elif answer["error"] == self._doubtful:
                self.doubts += 1
            else:
                self.refused[name] += 1
                if answer["error"] not in ("db_error", "unavailable"):
                    self.faults.append(str(answer))

    @property
    def user(self) -> str:
        return f"user {self.number}"

    def _name(self, number: int) -> str:
        return self.user if number % 4 == 0 else f"c{self.number}-{number % _RECORDS}"


class RecordLoad:
    """Clients that go on, connecting again as often as it takes, until the block ends.

    After the error `doubtful` a change may have been made all the same.
    """

    def __init__(self, server: PersistenceProcess, *, doubtful: str | None = None) -> None:
        self._server = server
        self._clients = [_Client(number, doubtful) for number in range(_CLIENTS)]
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in self._clients]
        self._changed = threading.Condition()
        self._stopping = False

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self, client: _Client) -> None:
        while not self._stopping:
            with contextlib.suppress(OSError, AssertionError, ValueError), self._server.connect() as session:
                while not self._stopping:
                    client.window(session)
                    with self._changed:
                        self._changed.notify_all()

    def wait_for(self, answers: int, *, refused: bool = False) -> None:
        """Waits for so many more acknowledgements, or refusals and doubts."""
        with self._changed:
            goal = self._count(refused=refused) + answers
            assert self._changed.wait_for(lambda: self._count(refused=refused) >= goal, PATIENCE), "no progress"

    def _count(self, *, refused: bool) -> int:
        if refused:
            return sum(client.refused.total() + client.doubts for client in self._clients)
        return sum(client.acknowledged.total() for client in self._clients)

    def examine(self, session: Session) -> Findings:
        """Holds what the server has against the books."""
        findings = Findings(self._count(refused=False), 0, [], [], [], [], [], [], {})
        for client in self._clients:
            findings.faults += client.faults
            for name, sent in client.sent.items():
                acknowledged, refused = client.acknowledged[name], client.refused[name]
                findings.unknown += sent - acknowledged - refused
                times, last = self._stored(session, client, name)
                if not acknowledged <= times <= sent - refused:
                    findings.faults.append(
                        f"{name} was changed {times} times; {acknowledged} to {sent - refused} expected"
                    )
                if not client.last_acknowledged.get(name, 0) <= last <= client.last_sent[name]:
                    findings.faults.append(
                        f"{name} holds {last}, and {client.last_acknowledged.get(name, 0)} was acknowledged"
                    )
        proof = session.ask("verify_log")
        if not proof["valid"]:
            findings.faults.append(f"the log is broken: {proof}")
        findings.faults += _feed_faults(session)
        return findings

    def games(self, session: Session) -> dict[int, int]:
        """How many games the server has of each user."""
        return {client.number: self._stored(session, client, client.user)[0] for client in self._clients}

    def _stored(self, session: Session, client: _Client, name: str) -> tuple[int, int]:
        """How often it was changed, and the last number stored."""
        if name == client.user:
            request: dict[str, Any] = {"action": "get_item", "table": "Scores", "key": {"user_id": client.number}}
            item = session.ask(request)["item"]
            return (0, 0) if item is None else (item["partidas"], item["puntaje_maximo"])
        answer = session.ask(f"get {name}")
        return (answer["version"], answer["data"]["n"]) if answer["success"] else (0, 0)


def _feed_faults(session: Session) -> list[str]:
    """Whether the feed has every change of the scores once, in order."""
    seen: Counter[int] = Counter()
    faults: list[str] = []
    position = None
    while True:
        page = session.ask({"action": "changes", "after": position})
        if page["position"] == position:
            break
        position = page["position"]
        for change in page["changes"]:
            if change["table"] != "Scores":
                continue
            user, version = change["new"]["item"]["user_id"], change["new"]["version"]
            if version != seen[user] + 1:
                faults.append(f"the feed has version {version} of user {user} behind {seen[user]}")
            seen[user] = version
    for user, version in seen.items():
        item = session.ask({"action": "get_item", "table": "Scores", "key": {"user_id": user}})
        if item["version"] != version:
            faults.append(f"the feed ends at version {version} of user {user}, the table at {item['version']}")
    return faults
