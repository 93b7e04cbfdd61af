"""`doctor` on a suite that runs, and that has had a backup."""

import subprocess
import sys
from pathlib import Path

import msgspec

from clients.tools.doctor.findings import Finding
from tests.support.suite import SuiteProcess


def test_healthy_suite_has_no_errors(tmp_path: Path) -> None:
    with SuiteProcess(tmp_path / "data", {"STAGE": "dev"}) as suite:

        def run(*words: str) -> str:
            command = [sys.executable, "-m", "clients", *words]
            return subprocess.run(command, env=suite.environ, capture_output=True, text=True, check=True).stdout

        run("backup", str(tmp_path / "backup"))
        findings = [msgspec.json.decode(line, type=Finding) for line in run("doctor", "--json").splitlines()]
    levels = {finding.check: finding.level for finding in findings}
    assert "error" not in levels.values()
    for check in ("schema", "backup", "intake", "persistence", "distributed", "gateway"):
        assert levels[check] == "ok"
    wrong = subprocess.run(
        [sys.executable, "-m", "clients", "doctor"],
        env={**suite.environ, "SERVER_HOST": "192.0.2.1"},
        capture_output=True,
        check=False,
    )
    assert wrong.returncode == 1
