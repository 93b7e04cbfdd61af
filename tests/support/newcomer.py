"""A newcomer with a fresh checkout, who types what a document says, in its order, and sees whether it goes as shown."""

import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import threading
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.support.documents import ROOT, Block, as_event, as_json, find_difference, find_reason, is_answer
from tests.support.intake import PATIENCE, Session
from tests.support.ports import hold_port
from tests.support.suite import PORTS
from tests.support.waiting import until

# Compiled modules come along: all servers start at once, and each would compile the same ones.
LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv*", ".env", ".*_cache", ".hypothesis", "*.egg-info", "data", "tests")
SHORTENED = {"--seconds 10": "--seconds 1"}
"""What takes less time in a test than for people."""
ENDLESS = re.compile(r"clients (watch|observe)\b|curl -N ")
"""Commands that people leave running in a terminal of their own."""
# A person types more slowly than news travel from server to server: what changes nothing is asked again.
QUESTION = re.compile(r"curl (?!.*(--data|-d |-N))|(status|notifications|stats)\b")
REPEAT_SECONDS = 0.1


class Newcomer:
    """Types blocks in a checkout, in which `make run` starts the suite on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "comanda"
        self.ports = {number: hold_port(self) for number in PORTS.values()}
        """By the numbers that the docs have."""
        self.log: list[str] = []
        """What `make run` has written."""
        # Within `make test` a make of its own would print the folders that it enters.
        inherited = {"ENV_FILE", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "VENV"}
        self._environ = {name: value for name, value in os.environ.items() if name not in inherited}
        self._environ |= {"PATH": f".venv/bin{os.pathsep}{os.environ['PATH']}"}
        self._suite: subprocess.Popen[str] | None = None
        self._ids: dict[str, str] = {}
        self._unfinished: list[Callable[[], None]] = []
        """Checks of sessions and commands that are left open."""

    def __enter__(self) -> Self:
        shutil.copytree(ROOT, self.folder, ignore=LEFT_BEHIND)
        self._install()
        # As README has it for machines whose ports are taken.
        settings = {setting: str(self.ports[number]) for setting, number in PORTS.items()}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return self

    def _install(self) -> None:
        """Makes the environment that `make run` makes; what the packages need is borrowed from that of the tests."""
        environment = self.folder / ".venv"
        venv.create(environment)
        (packages,) = (environment / "lib").glob("python*/site-packages")
        (packages / "editable.pth").write_text(f"{self.folder}\n{sysconfig.get_path('purelib')}\n")
        script = environment / "bin/comanda"
        script.write_text(
            f"#!{environment}/bin/python\nimport sys\nfrom services.command import main\nsys.exit(main())\n"
        )
        script.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._suite is not None and self._suite.poll() is None:
            os.killpg(self._suite.pid, signal.SIGKILL)
            self._suite.wait(PATIENCE)

    def type(self, block: Block) -> None:
        """Types a block, and compares what is answered with what is shown."""
        if block.kind == "python":
            self._type_python(block.text)
        elif block.kind == "shell":
            for command in re.split(r"(?<!\\)\n", block.text.rstrip("\n")):
                self._type_command(command)
        else:
            for text in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                if text.startswith("telnet"):
                    first, _, typed = text.partition("\n")
                    self._converse(int(first.split()[-1]), typed.splitlines())
                else:
                    command, shown = re.fullmatch(r"((?:[^\n]|(?<=\\)\n)*)\n?(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
                    self._type_command(command, shown.splitlines())

    def leave(self) -> None:
        """Looks at everything that was left open, and stops the suite, as Ctrl-C does."""
        for check in self._unfinished:
            check()
        self._unfinished.clear()
        if self._suite is not None:
            os.killpg(self._suite.pid, signal.SIGINT)
            self._suite.wait(PATIENCE)
            self._suite = None

    # Commands.

    def _type_command(self, command: str, shown: list[str] | None = None) -> None:
        if find_reason(command):
            return
        typed = self._adapt(command)
        if re.search(r"\bmake run\b", command):
            self._start(typed)
        elif ENDLESS.search(command):
            self._leave_running(typed)
        else:
            self._repeat(lambda: self._run(typed, shown or []), asked=QUESTION.match(command) is not None)

    def _adapt(self, command: str) -> str:
        """Returns a command with the ports of this suite, and short enough for a test."""
        for one, other in SHORTENED.items():
            command = command.replace(one, other)
        # What it would install is there.
        command = re.sub(r"\bmake ", "make -o .venv/.runtime ", command)
        command = re.sub(r"\bcurl ", "curl -sS --fail-with-body ", command)
        for example, real in self._ids.items():
            command = command.replace(example, real)
        for number, port in self.ports.items():
            command = re.sub(rf"localhost(\"?[:, ] ?){number}\b", rf"localhost\g<1>{port}", command)
        return command

    def _start(self, command: str) -> None:
        self.leave()
        self.log = []
        ready = threading.Event()
        self._suite = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read_log, args=(self._suite, self.log, ready), daemon=True).start()
        assert ready.wait(PATIENCE), self.log
        assert self._suite.poll() is None, self.log

    @staticmethod
    def _read_log(suite: "subprocess.Popen[str]", log: list[str], ready: threading.Event) -> None:
        assert suite.stdout is not None
        with suite.stdout:
            for line in suite.stdout:
                log.append(line)
                if re.search(r"\] ready ", line):
                    ready.set()
        ready.set()

    def _leave_running(self, command: str) -> None:
        """Starts what ends never; it has to have written something when the newcomer leaves."""
        running = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        written = threading.Event()

        def read() -> None:
            assert running.stdout is not None
            with running.stdout:
                if running.stdout.readline():
                    written.set()
                while running.stdout.read(65_536):
                    pass

        reader = threading.Thread(target=read, daemon=True)
        reader.start()

        def check() -> None:
            with Session("127.0.0.1", self.ports[6000], greeted=False) as records:
                # It may have connected too late for what was typed behind it.
                while not written.wait(REPEAT_SECONDS):
                    assert running.poll() is None, command
                    records.ask({"action": "set", "id": "later", "data": {}})
            os.killpg(running.pid, signal.SIGKILL)
            running.wait(PATIENCE)
            reader.join(PATIENCE)

        self._unfinished.append(check)

    def _run(self, command: str, shown: list[str]) -> str | None:
        """Runs a command; returns what is wrong with what it has written."""
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        if ended.returncode != 0:
            return f"{command}: {ended}"
        lines = ended.stdout.decode().splitlines()
        for one, other in zip(shown, lines, strict=False):
            answer, found = as_json(one), json.loads(other)
            if difference := find_difference(answer, found, self._ids):
                return f"{command}: {difference}"
            if "token" in answer:
                # It is copied into the commands behind it.
                self._ids[answer["token"]] = found["token"]
        return None if len(lines) >= len(shown) else f"{command}: {lines}"

    @staticmethod
    def _repeat(attempt: Callable[[], str | None], *, asked: bool) -> None:
        """Makes an attempt, once or, where it only asks, until nothing is wrong."""

        def again() -> str | None:
            if wrong := attempt():
                assert asked, wrong
                time.sleep(REPEAT_SECONDS)
            return wrong

        until(again, lambda wrong: wrong is None)

    # Python, and handlers.

    def _type_python(self, text: str) -> None:
        if found := re.match(r"# (handlers/\w+\.py)\n", text):
            (self.folder / found[1]).write_text(text)
            return
        ended = subprocess.run(
            [".venv/bin/python", "-m", "asyncio"],
            cwd=self.folder,
            env=self._environ,
            input=f"{self._adapt(text)}\n",
            text=True,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ended.returncode == 0, ended
        assert "Traceback" not in ended.stderr, ended

    # Sessions.

    def _converse(self, number: int, lines: list[str]) -> None:
        """Types the lines of a session on the port that the docs call `number`.

        The session is left open for events that are shown behind the last answer: what is typed elsewhere brings them.
        """
        session = Session("127.0.0.1", self.ports[number], greeted=False)
        last = max(number for number, line in enumerate(lines) if not as_event(line))
        typed: list[str] = []
        for line in lines[: last + 1]:
            if not is_answer(line):
                for example, real in self._ids.items():
                    line = line.replace(example, real)  # noqa: PLW2901
                typed.append(line)
                session.send(f"{line}\n")
                continue
            question = typed[-1] if typed and QUESTION.match(typed[-1]) else None
            self._expect(session, line, question)

        def finish() -> None:
            for line in lines[last + 1 :]:
                self._expect(session, line, None)
            session.close()

        self._unfinished.append(finish)

    def _expect(self, session: Session, shown: str, question: str | None) -> None:
        """Reads an answer, which is to be as shown; a question is asked again until it is."""
        first = True

        def attempt() -> str | None:
            nonlocal first
            if not first:
                session.send(f"{question}\n")
            first = False
            return find_difference(as_json(shown), session.read(), self._ids)

        self._repeat(attempt, asked=question is not None)
