"""The law of the wire, and sessions in any order: short forms of what `make chaos` runs for longer."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.sessions import Sessions
from tests.chaos.wire import check
from tests.support.intake import IntakeProcess

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "30"))
"""How many sessions are tried; `make chaos` tries more."""

_BYTES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b":",
    b",",
    b" ",
    b"\n",
    b"\r\n",
    b"\r\0",
    b"\xff",
    b"\xf4",
    b"\xfd",
    b"\x03",
]
_WORDS = [b'"cliente"', b'"productos"', b'"direccion"', b'"action"', b'"x"', b"1e400", b"-0", b"ping", b"GET "]
_TOKENS = st.sampled_from([*_BYTES, *_WORDS, b"\xef\xbb\xbf"])


@settings(max_examples=EXAMPLES * 10, deadline=None)
@given(data=st.lists(_TOKENS | st.binary(max_size=4), max_size=30), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_law_of_the_wire_holds_for_any_bytes(data: list[bytes], cuts: list[int]) -> None:
    check(b"".join(data), cuts)


@pytest.mark.timeout(600)
def test_sessions_get_the_answers_that_the_model_knows(intake: IntakeProcess) -> None:
    machine = type("SessionsHere", (Sessions,), {"intake": intake})
    # A smaller example of an answer that does not come would take its time each time.
    found_is_enough = settings(
        max_examples=EXAMPLES,
        stateful_step_count=25,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=found_is_enough)
