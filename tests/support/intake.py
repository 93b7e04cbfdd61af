"""Real servers: their own processes, their own folders and ports; and plain sockets to talk to them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.ports import hold_port

PATIENCE = 60.0
"""Seconds after which a test gives up waiting; only a fault ever takes that long."""
LOOK_SECONDS = 0.01
"""Seconds between two looks; without a pause a test takes the processor from the servers that it waits for."""


class ServerProcess:
    """A server on a port of its own, with settings of the test's choosing."""

    module = ""
    """What `python -m` runs."""
    port_setting = ""
    """The setting of its port; empty for one that listens nowhere."""
    defaults: Mapping[str, str] = {}
    """Settings that tests want otherwise than users."""
    ready_log = "listening"
    """What its log says once it works."""

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str | int | float] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.command = command or (sys.executable, "-m", self.module)
        """What `start` runs; a fault may wrap it for one start."""
        self.data_dir = data_dir
        self._settings = {name: str(value) for name, value in (settings or {}).items()}
        self.port = hold_port(self)
        self.log: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Starts it, again if it ran before, and waits until it listens."""
        environ = {
            **os.environ,
            "ENV_FILE": "/dev/null",
            # Sessions of the tests may pause for as long as a busy machine wants.
            "PIPED_SECONDS": "3600",
            **self.defaults,
            **self._settings,
            "DATA_DIR": str(self.data_dir),
            "LOG_FORMAT": "json",
        }
        if self.port_setting:
            environ[self.port_setting] = str(self.port)
        self.log = []
        self._process = subprocess.Popen(self.command, env=environ, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        threading.Thread(target=self._read, args=(self._process, self.log), daemon=True).start()
        self.wait_for_log(self.ready_log)
        return self

    def _read(self, process: "subprocess.Popen[bytes]", log: list[dict[str, Any]]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {"event": line.decode(errors="replace").rstrip()}
                with self._changed:
                    log.append(entry)
                    self._changed.notify_all()
        with self._changed:
            log.append({"event": "end of log"})
            self._changed.notify_all()

    def wait_for_log(self, event: str, times: int = 1) -> dict[str, Any]:
        """Waits until the log has so many entries with this event; gives the last of them."""

        def found() -> dict[str, Any] | None:
            entries = [entry for entry in self.log if entry.get("event") in (event, "end of log")]
            return entries[times - 1] if len(entries) >= times else None

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, PATIENCE), self.log
            entry = found()
        assert entry is not None
        assert entry["event"] == event, self.log
        return entry

    def wait_for_trace(self, trace: str) -> dict[str, Any]:
        """Waits until the log tells of this request; gives the first entry that does."""

        def found() -> dict[str, Any] | None:
            return next((entry for entry in self.log if entry.get("trace") == trace), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, PATIENCE), self.log
            entry = found()
        assert entry is not None
        return entry

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it as a power switch would, as far as a process can tell."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def kill_if_alive(self) -> None:
        """Leaves nothing behind after a test that did not come to its end."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def terminate(self, times: int = 1) -> int:
        """Asks it to stop; gives its exit status."""
        assert self._process is not None
        for _ in range(times):
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def wait(self) -> int:
        """Waits for it to end by itself; gives its exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.terminate()


class IntakeProcess(ServerProcess):
    """`python -m services.intake`."""

    module = "services.intake"
    port_setting = "SERVER_PORT"
    defaults: Mapping[str, str] = {"PROCESSING_SECONDS": "0", "WORKER_COUNT": "2", "STAGE": "test"}

    def workers(self) -> list[int]:
        """The pids of its worker processes, once all are ready."""
        with self.connect() as connection:
            connection.wait_until("health", "status", "ok")
            stats = connection.ask("stats")["stats"]
        return [worker["pid"] for worker in stats["workers"]]

    def connect(self, host: str = "127.0.0.1") -> "Session":
        """A new connection, greeted."""
        return Session(host, self.port)


class PersistenceProcess(ServerProcess):
    """`python -m services.persistence`, whose tables of accounts are open without a token."""

    module = "services.persistence"
    port_setting = "TCP_PERSIST_PORT"
    defaults: Mapping[str, str] = {"STAGE": "dev"}

    def connect(self) -> "Session":
        """A new connection."""
        return Session("127.0.0.1", self.port, greeted=False)


class DistributedProcess(ServerProcess):
    """`python -m services.distributed`, which follows the servers on the same folder."""

    module = "services.distributed"
    port_setting = "DISTRIBUTED_PORT"

    def connect(self) -> "Session":
        """A new connection."""
        return Session("127.0.0.1", self.port, greeted=False)


class InventoryProcess(ServerProcess):
    """`python -m services.inventory`, which works with `servers`; it listens nowhere."""

    module = "services.inventory"
    ready_log = "working"

    def __init__(
        self, data_dir: Path, servers: Sequence[ServerProcess], settings: Mapping[str, Any] | None = None
    ) -> None:
        ports = {server.port_setting: server.port for server in servers}
        super().__init__(data_dir, {**ports, **(settings or {})})


class ShopProcess(InventoryProcess):
    """`python -m services.shop`, which works with `servers`; it listens nowhere."""

    module = "services.shop"


class GatewayProcess(ServerProcess):
    """`python -m services.gateway` in front of `servers`; with one left out, nobody is where that should be."""

    module = "services.gateway"
    port_setting = "MAIN_SERVER_PORT"
    defaults: Mapping[str, str] = {"STAGE": "dev", "RATE_LIMIT": "none", "TENANT_LIMITS": "none", "LOG_REQUESTS": "all"}

    def __init__(
        self, data_dir: Path, servers: Sequence[ServerProcess], settings: Mapping[str, Any] | None = None
    ) -> None:
        ports = {server.port_setting: server.port for server in servers}
        missing = {kind.port_setting for kind in (IntakeProcess, PersistenceProcess, DistributedProcess)} - ports.keys()
        self._nobody = {setting: hold_port(self) for setting in missing}
        super().__init__(data_dir, {**ports, **self._nobody, **(settings or {})})


class Session:
    """One plain TCP connection that speaks lines."""

    def __init__(self, host: str, port: int, *, greeted: bool = True) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self._file = self.socket.makefile("rb")
        self.hello: Any = self.read() if greeted else None

    def send(self, data: str | bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def read(self) -> Any:
        """The next line, decoded."""
        line = self._file.readline()
        assert line, "the server ended the stream"
        return json.loads(line)

    def read_help(self, verb: str = "help") -> str:
        """Sends the line `help`; gives the text that people get, which ends with an empty line."""
        self.send(f"{verb}\n")
        lines = []
        while line := self._file.readline().decode().rstrip("\n"):
            assert len(line) < 80
            lines.append(line)
        return "\n".join(lines)

    def ask(self, request: str | bytes | Mapping[str, Any]) -> Any:
        """Sends one request on a line of its own; gives the next line that is not an event."""
        if isinstance(request, Mapping):
            request = json.dumps(request, ensure_ascii=False)
        self.send((request.encode() if isinstance(request, str) else request) + b"\n")
        while "event" in (answer := self.read()):
            pass
        return answer

    def rest(self) -> bytes:
        """Everything until the server ends the stream."""
        return self._file.read()

    def at_end(self) -> bool:
        """Whether the server has ended the stream and everything was read."""
        return self._file.readline() == b""

    def wait_until(self, request: str, path: str, value: object, *, seconds: float = PATIENCE) -> Any:
        """Asks until the member at `path` (names joined by dots) has `value`; gives that answer."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.ask(request)
            found: Any = answer
            for name in path.split("."):
                found = found[name]
            if found == value:
                return answer
            assert time.monotonic() < deadline, answer
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Closes it."""
        self._file.close()
        self.socket.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
