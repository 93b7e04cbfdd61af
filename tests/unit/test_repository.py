"""What stands at the top of the repository, and the habits that its files set up."""

import shlex
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def find_entries() -> set[str]:
    """The names of committed files and folders at the top of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.partition("/")[0] for line in listed.splitlines()}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a copy without history has other files too")
def test_every_top_level_entry_has_a_reason() -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text().partition("## Top-level entries")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    patterns = [name.strip("` ") for cell in cells for name in cell.split(",")]
    entries = find_entries()
    assert [entry for entry in sorted(entries) if not any(fnmatch(entry, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(entry, pattern) for entry in entries)] == []


def test_pre_commit_runs_what_make_lint_runs() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0].splitlines()[1:]
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe]
    config: Any = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == commands
    assert {repository["repo"] for repository in config["repos"]} == {"local"}


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow: Any = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert [shlex.split(step) for step in steps] == [[".ci/run"]]
    assert workflow["permissions"] == {"contents": "read"}
