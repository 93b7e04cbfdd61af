"""What a log says of an exception: where, and what; not what the locals hold, and never without end."""

import json
import subprocess
import sys

import pytest

from shared.runtime.logs import format_traceback

SECRET = "the-secret-of-the-test"


def fail(depth: int, message: str, secret: str = SECRET) -> None:
    if depth:
        fail(depth - 1, message, secret[::-1])
    raise ValueError(message)


@pytest.mark.parametrize(("depth", "message"), [(0, "wrong"), (500, "wrong"), (3, "x" * 1_000_000)])
def test_a_traceback_is_bounded_and_has_no_locals(depth: int, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        fail(depth, message)
    text = format_traceback(raised.value)
    assert len(text) < 10_000
    assert text.startswith("Traceback")
    assert "in fail" in text
    assert text.endswith(message[-10:])
    assert SECRET not in text
    assert SECRET[::-1] not in text


def test_text_of_others_neither_steers_the_terminal_nor_forges_an_entry() -> None:
    forged = "2026-01-01T00:00:00Z [info     ] forged"
    program = f"""
import structlog
from shared.runtime import logs

logs.configure_logging(form="console", level="info", service="test")
text = "\\x1b[31mred\\x00\\n" + {forged!r}
structlog.get_logger().info("taken", name=text, other="\\x1b[2J")
structlog.get_logger().info(text)
structlog.get_logger().warning("attempt_failed", exception=text)
try:
    raise ValueError(text)
except ValueError:
    structlog.get_logger().exception("failed")
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.stderr.count("forged") == 4, found.stderr
    assert r"other=\x1b[2J" in found.stderr
    assert r"name='\x1b[31mred" in found.stderr
    assert all(line.isprintable() for line in found.stderr.splitlines())
    assert not any(line.startswith(forged) for line in found.stderr.splitlines())


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_way_into_the_log_shows_locals(form: str) -> None:
    program = f"""
import logging, threading
import structlog
from shared.runtime import logs

def fail(secret):
    raise ValueError("wrong")

logs.configure_logging(form={form!r}, level="info", service="test")
secret = {SECRET[:5]!r} + {SECRET[5:]!r}
try:
    fail(secret)
except ValueError:
    structlog.get_logger().exception("by structlog")
    logging.getLogger("asyncio").exception("x" * 100_000)
thread = threading.Thread(target=fail, args=(secret,))
thread.start()
thread.join()
fail(secret)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.stderr.count("ValueError: wrong") == 4, found.stderr
    assert SECRET not in found.stderr
    assert len(found.stderr) < 20_000
    if form == "json":
        assert len([json.loads(line) for line in found.stderr.splitlines()]) == 4


@pytest.mark.parametrize("form", ["console", "json"])
def test_an_entry_is_written_at_once_so_that_those_of_other_servers_do_not_break_it(form: str) -> None:
    program = f"""
import io, sys
import structlog
from shared.runtime import logs

class Recorder(io.StringIO):
    def write(self, text):
        sys.stdout.write(repr(text) + "\\n")

sys.stderr = Recorder()
logs.configure_logging(form={form!r}, level="info", service="test")
structlog.get_logger().info("ready", port=8888)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (written,) = ended.stdout.splitlines()
    assert "ready" in written
    assert written.endswith("\\n'")


def test_other_libraries_write_a_few_lines_in_each_second_and_the_rest_is_counted() -> None:
    program = """
import logging
import time
from shared.runtime import logs

logs.configure_logging(form="json", level="info", service="test")
for _ in range(1000):
    logging.getLogger("library").warning("again")
time.sleep(1)
logging.getLogger("library").warning("the last")
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    entries = [json.loads(line) for line in found.stderr.splitlines()]
    assert 20 <= len(entries) <= 100
    assert entries[-1]["event"] == "the last"
    assert len(entries) + sum(entry.get("left_out", 0) for entry in entries) == 1001
