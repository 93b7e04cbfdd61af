"""Each round of the fault harness once, in its short form."""

import random
from pathlib import Path

import pytest

from tests.chaos.chaos import Chaos, Missing
from tests.chaos.rounds import ROUNDS


@pytest.mark.parametrize("name", ROUNDS)
def test_promise_holds(name: str, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    chaos = Chaos(tmp_path, seed)
    try:
        ROUNDS[name](chaos)
    except Missing as missing:
        pytest.skip(str(missing))
    assert chaos.outcome is not None
    assert chaos.outcome.findings.passed, f"{chaos.outcome.findings}; repeat it with seed {seed}"
