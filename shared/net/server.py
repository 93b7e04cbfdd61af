"""The TCP server of all JSON ports: listens, counts connections, and closes idle ones."""

import asyncio
import socket
import ssl
from collections.abc import Collection
from typing import Any

from shared.domain.errors import Unavailable
from shared.net.census import Census
from shared.net.connection import Connection, Service
from shared.net.limits import Limits

_SWEEP_SECONDS = 1.0


class TcpServer:
    """Serves `service` on listening sockets with TLS if given, each connection within `limits`."""

    def __init__(self, service: Service, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self.service = service
        self._tls = tls
        self.limits = limits
        self._census = Census(limits.connections, limits.connections_per_address)
        self._servers: list[asyncio.Server] = []
        self._sweep_timer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> Collection[Connection]:
        """The open connections."""
        return self._census.connections

    def describe_state(self) -> dict[str, Any]:
        """Returns the connections and the requests in flight, for a state dump."""
        return {
            "connections": len(self.connections),
            "connections_by_address": self._census.describe_addresses(),
            "requests_in_flight": sum(connection.in_flight for connection in list(self.connections)),
            "unread_bytes": sum(connection.unread_bytes for connection in list(self.connections)),
        }

    def admit(self, connection: Connection) -> Unavailable | None:
        """See `ConnectionServer.admit`."""
        return self._census.admit(connection, asyncio.get_running_loop().time())

    def release(self, connection: Connection) -> None:
        """See `ConnectionServer.release`."""
        self._census.release(connection)

    async def start(self, listeners: list[socket.socket]) -> None:
        """Starts to accept connections on `listeners`."""
        loop = asyncio.get_running_loop()
        for listener in listeners:
            backlog = 1024
            server = await loop.create_server(
                lambda: Connection(self, loop), sock=listener, backlog=backlog, ssl=self._tls
            )
            self._servers.append(server)
        self._sweep_timer = loop.call_later(_SWEEP_SECONDS, self._sweep_connections, loop)

    def stop_listening(self) -> None:
        """Stops accepting connections; open ones stay."""
        for server in self._servers:
            server.close()
        for connection in self.connections:
            connection.stop_waiting()

    async def stop(self, seconds: float) -> None:
        """Closes each connection after its answers are written, and aborts the rest after `seconds`."""
        self.stop_listening()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for connection in list(self.connections):
            connection.finish()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.connections and loop.time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()

    def _sweep_connections(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.connections):
            connection.sweep(now)
        self._sweep_timer = loop.call_later(_SWEEP_SECONDS, self._sweep_connections, loop)
