"""The dashboard in Chromium: what its first visit costs, and whether it keeps up with a thousand orders a second."""

import contextlib
import importlib.util
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.benchmarks.events import Distributed
from tests.benchmarks.gateway import Gateway, Persistence
from tests.benchmarks.inventory import Inventory
from tests.benchmarks.peers import Comanda

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

_RATE = 1000
_VISITS = 5
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_COUNT_FRAMES = """() => {
  window.frames_ = [];
  const step = (now) => { window.frames_.push(now); requestAnimationFrame(step); };
  requestAnimationFrame(step);
}"""
_LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


class DashboardFigures(NamedTuple):
    """What was measured."""

    kilobytes: float
    """Everything that a first visit transfers."""
    load_ms: float
    """Of the median visit, to the `load` event."""
    frames: float
    """Frames a second while 1,000 orders a second come in."""
    slow_frame_ms: float
    """The 99th percentile of the time from frame to frame."""
    heap_before_mb: float
    heap_after_mb: float
    """Of the page's memory, garbage collected, before and after that."""


def missing() -> str | None:
    """What has to be installed before this can be measured."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright (`make bench` installs it)"
    return None if _CHROMIUM else "chromium (the Debian package of that name)"


def dashboard(seconds: float) -> DashboardFigures:
    """Measures all of it; orders come in for so many seconds."""
    # Not every environment that measures something else has it.
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with _suite() as (intake, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        visits = [_visit(browser, address) for _ in range(_VISITS)]
        live = _live(browser, address, intake, seconds)
        browser.close()
    kilobytes, loaded = (median(figures) for figures in zip(*visits, strict=True))
    return DashboardFigures(kilobytes, loaded, *live)


@contextlib.contextmanager
def _suite() -> Iterator[tuple[Comanda, str]]:
    intake = Comanda()
    with intake.running(), contextlib.ExitStack() as stack:
        data = intake.folder / "data"
        persistence = stack.enter_context(Persistence(data).running())
        distributed = stack.enter_context(Distributed(data).running())
        stack.enter_context(Inventory(intake, persistence).running())
        gateway = stack.enter_context(Gateway(intake, persistence, distributed).running())
        yield intake, f"http://127.0.0.1:{gateway.port}/admin/"


def _visit(browser: "Browser", address: str) -> tuple[float, float]:
    """A visit with nothing in the cache: kilobytes transferred, and milliseconds to the `load` event."""
    with browser.new_context() as context:
        page = context.new_page()
        session = context.new_cdp_session(page)
        sizes: list[float] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        session.send("Network.enable")
        page.goto(address, wait_until="load")
        loaded = float(page.evaluate(_LOADED))
        # The stream of events never ends: what has come by then is what the page is made of.
        page.locator("main h1").wait_for()
        page.wait_for_timeout(1000)
    return sum(sizes) / 1024, loaded


def _live(browser: "Browser", address: str, intake: Comanda, seconds: float) -> tuple[float, float, float, float]:
    with browser.new_context() as context:
        page = context.new_page()
        session = context.new_cdp_session(page)
        page.goto(address)
        page.locator("main h1").wait_for()
        # Whatever is made once is made.
        _load(intake, 5).wait()
        before = _heap(session)
        sending = _load(intake, seconds)
        page.wait_for_timeout(1000)
        page.evaluate(_COUNT_FRAMES)
        page.wait_for_timeout((seconds - 2) * 1000)
        frames: list[float] = page.evaluate("window.frames_")
        if sending.wait() != 0:
            raise RuntimeError("the load was not taken")
        after = _heap(session)
    times = sorted(later - earlier for earlier, later in itertools.pairwise(frames))
    rate = 1000 * (len(frames) - 1) / (frames[-1] - frames[0])
    return rate, times[int(len(times) * 0.99)], before, after


def _load(intake: Comanda, seconds: float) -> "subprocess.Popen[bytes]":
    """A thousand orders a second."""
    words = ["--rate", str(_RATE), "--seconds", str(seconds), "--host", "127.0.0.1", "--port", str(intake.port)]
    return subprocess.Popen(
        [sys.executable, "-m", "clients", "loadtest", *words],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _heap(session: "CDPSession") -> float:
    """Megabytes that the page holds."""
    session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = session.send("Runtime.getHeapUsage")
    return float(usage["usedSize"]) / 2**20
