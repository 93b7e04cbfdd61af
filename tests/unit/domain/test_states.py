"""The table of states is whole."""

from shared.domain.states import FINAL, TRANSITIONS, State, mermaid


def test_every_state_can_be_reached() -> None:
    assert {step.target for step in TRANSITIONS} == set(State)


def test_only_retry_and_discard_lead_out_of_a_final_state() -> None:
    assert [(step.source, step.target) for step in TRANSITIONS if step.source in FINAL] == [
        (State.FAILED, State.QUEUED),
        (State.FAILED, State.CANCELLED),
    ]


def test_picture_shows_every_transition() -> None:
    assert mermaid().count("-->") >= len(TRANSITIONS)
