"""What `make clean` and `make wipe` delete, and what they ask first."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, an environment and data."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (".venv", "data", "data/uploads/__pycache__", "shared/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/orders.db").touch()
    return tmp_path


def make(clone: Path, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=clone, stdin=stdin, capture_output=True, text=True, check=False
    )


def test_clean_keeps_the_data(clone: Path) -> None:
    assert make(clone, "clean").returncode == 0
    assert sorted(path.name for path in clone.iterdir()) == ["Makefile", "data", "shared"]
    assert sorted(path.name for path in (clone / "data").rglob("*")) == ["__pycache__", "orders.db", "uploads"]
    assert not (clone / "shared/__pycache__").exists()


def test_wipe_without_a_terminal_wants_a_word(clone: Path) -> None:
    refused = make(clone, "wipe")
    assert refused.returncode == 2
    assert "CONFIRM=yes" in refused.stderr
    assert make(clone, "wipe", "CONFIRM=no").returncode == 2
    assert (clone / "data/orders.db").exists()
    assert make(clone, "wipe", "CONFIRM=yes").returncode == 0
    assert not (clone / "data").exists()
    assert make(clone, "wipe").returncode == 0


@pytest.mark.parametrize(("answer", "kept"), [("\n", True), ("y\n", True), ("yes\n", False)])
def test_wipe_asks_on_a_terminal(clone: Path, answer: str, kept: bool) -> None:
    terminal, other = pty.openpty()
    try:
        os.write(terminal, answer.encode())
        asked = make(clone, "wipe", stdin=other)
    finally:
        os.close(terminal)
        os.close(other)
    assert "Type yes" in asked.stdout
    assert (clone / "data/orders.db").exists() == kept


def test_another_version_of_python_gets_an_environment_of_its_own(clone: Path) -> None:
    for name in ("requirements-dev.lock", "requirements-build.lock", "requirements-dynamodb.lock", "pyproject.toml"):
        (clone / name).touch()
    said = make(clone, "-n", "test-version", "VENV=.venv-3.13", "PYTHON=python3.13").stdout
    assert "python3.13 -m venv .venv-3.13" in said
    assert ".venv-3.13/bin/python -m pytest" in said
    assert ".venv/" not in said
