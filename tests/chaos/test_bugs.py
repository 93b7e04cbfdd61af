"""The harness is put to the test itself: each bug that is put in has to be seen, for what it is."""

import sys
from pathlib import Path

import pytest

from tests.chaos.bugs import BUGS
from tests.chaos.chaos import Chaos, Missing
from tests.chaos.rounds import ROUNDS

SEEN = {
    "answer_before_commit": ("server_killed_at_random", "lost"),
    "commit_without_sync": ("power_cut", "lost"),
    "no_unique_key": ("worker_killed_at_random", "doubled"),
    "no_fencing": ("worker_stopped_past_its_lease", "orders counted in state"),
    "queue_not_refilled": ("worker_killed_at_random", "orders stay open"),
    "events_without_sync": ("events_power_cut", "lies in the future"),
    "position_kept_now_and_then": ("events_killed_at_random", "was told of game"),
}
"""The round that shows each bug, and what it says."""
TRIES = {"position_kept_now_and_then": 3}
"""Rounds until a bug is seen, where one may miss it: a position may have been written just before each kill."""


@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_seen(bug: str, tmp_path: Path) -> None:
    findings = []
    for number in range(TRIES.get(bug, 1)):
        findings.append(find_faults(bug, tmp_path / str(number), seed=5 + number))
        if SEEN[bug][1] in findings[-1]:
            return
    pytest.fail(f"not seen in {findings}")


def find_faults(bug: str, folder: Path, *, seed: int) -> str:
    """Returns the findings of one round with a bug."""
    name, _ = SEEN[bug]
    folder.mkdir()
    chaos = Chaos(folder, seed, patience=3)
    command = (sys.executable, "-m", "tests.chaos.bugs", bug)
    if name.startswith("events"):
        chaos.follower = command
    else:
        chaos.command = command
    try:
        ROUNDS[name](chaos)
    except Missing as missing:
        pytest.skip(str(missing))
    assert chaos.outcome is not None
    return str(chaos.outcome.findings)
