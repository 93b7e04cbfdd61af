"""The API's pages in a real browser, without a network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from services.gateway.api.pages import FILES
from tests.integration.gateway.conftest import Suite
from tests.support.http import Http
from tests.support.intake import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_documentation_shows_every_operation(suite: Suite, http: Http, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"]
    # Nothing else than the gateway is to be had.
    command += [
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"http://127.0.0.1:{suite.gateway.port}/docs",
    ]
    shown = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
    page, log = shown.stdout.decode(), shown.stderr.decode()
    operations = [one for path in http.get("/openapi.json").json["paths"].values() for one in path.values()]
    assert not [one["summary"] for one in operations if one["summary"] not in page]
    assert "Content Security Policy" not in log
    assert "ERR_" not in log


def test_the_pages_name_no_other_address() -> None:
    for file in FILES.glob("docs.*"):
        assert not re.search(r"(?:https?:)?//[a-z]", file.read_text()), file
