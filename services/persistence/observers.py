"""Observers of corporate data: they get every change, in order, from the store's change feed.

Observers stand at positions of the feed. Those at one position are read for together; who has come with an
old position is read for apart until the others are reached.
"""

import asyncio
from typing import NamedTuple

import structlog

from services.persistence import dialect
from services.persistence.audit import TENANT
from shared.domain.errors import Gone, StoreError
from shared.domain.records import Table
from shared.net.connection import Connection
from shared.net.fanout import Fanout
from shared.runtime.waiting import wait_for_event
from shared.stores.ports.records import Change, RecordStore
from shared.wire.replies import encode_line, error_reply

_RETRY_SECONDS = 1.0


class Observer(NamedTuple):
    """The subscription of a connection: the selected records and the dialect."""

    id: str | None
    """Id of one record; None selects all."""
    dialect: bool


class RecordObservers:
    """Reads the feed while there are observers: after `wake`, or every `poll_seconds` if other servers write, too."""

    def __init__(self, store: RecordStore, data: Table, fanout: Fanout, *, poll_seconds: float | None) -> None:
        self._store = store
        self._data = data
        self._fanout = fanout
        self._poll_seconds = poll_seconds
        self._at: dict[str, dict[Connection, Observer]] = {}
        self._woken = asyncio.Event()
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """Signals that records were written. It does not speed up a feed that is polled."""
        if self._at and self._poll_seconds is None:
            self._woken.set()

    async def add_observer(self, connection: Connection, observer: Observer, since: str | None) -> str:
        """Subscribes a connection to changes from now on, or after `since`; returns its position.

        Raises InvalidParams or Gone for a position that cannot be gone on from, and StoreError.
        """
        if since is None:
            since = await self._store.newest_position()
        else:
            await self._store.read_changes(since, limit=1)
        self.remove_observer(connection)
        connection.observing = True
        self._at.setdefault(since, {})[connection] = observer
        self._woken.set()
        return since

    def remove_observer(self, connection: Connection) -> None:
        """Ends the subscription of a connection."""
        connection.observing = False
        self._fanout.forget_connection(connection)
        for position, observers in list(self._at.items()):
            observers.pop(connection, None)
            if not observers:
                del self._at[position]

    async def run(self) -> None:
        """Sends changes to observers until cancelled."""
        while True:
            await wait_for_event(self._woken, self._poll_seconds if self._at else None)
            self._woken.clear()
            try:
                for position in list(self._at):
                    await self._read_feed(position)
            except StoreError as error:
                self._log.error("change_feed_unreadable", reason=error.message)
                await asyncio.sleep(_RETRY_SECONDS)
                self._woken.set()

    async def _read_feed(self, position: str) -> None:
        """Sends the next changes to the observers at a position, and advances them."""
        try:
            found = await self._store.read_changes(position)
        except Gone as error:
            following = await self._store.newest_position()
            for connection in self._at.get(position, {}):
                self._fanout.send_events(connection, encode_line({"event": "gone", **error_reply(error)}))
        else:
            following = found.position
            for change in found.changes:
                if change.table == self._data.name and change.tenant == TENANT:
                    self._send_changes(change, self._at.get(position, {}))
        if following == position:
            return
        observers = self._at.pop(position, {})
        marker = encode_line({"event": "position", "position": following})
        for connection, observer in observers.items():
            if not observer.dialect:
                self._fanout.send_events(connection, marker, 0)
        self._at.setdefault(following, {}).update(observers)
        self._woken.set()

    def _send_changes(self, change: Change, observers: dict[Connection, Observer]) -> None:
        record = change.new or change.old
        assert record is not None
        name = record.item["id"]
        data = {member: value for member, value in record.item.items() if member != "id"}
        if change.new is None:
            plain = encode_line({"event": "delete", "id": name, "version": record.version})
        else:
            plain = encode_line({"event": "update", "id": name, "version": record.version, "data": data})
        for connection, observer in observers.items():
            if observer.id not in (None, name):
                continue
            if not observer.dialect:
                self._fanout.send_events(connection, plain)
            elif change.new is not None:
                self._fanout.send_events(connection, dialect.encode_event(record.item))
