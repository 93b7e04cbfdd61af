"""What is published of an alert."""

import json

import pytest

from services.inventory.alert_publisher import build_message

ALERT = {
    "store": "Berlin",
    "item": "Echo Dot",
    "count": 3,
    "threshold": 5,
    "number": 2,
    "since": "2026-01-02T03:04:05Z",
}


def test_a_message_has_all_that_is_known_of_an_alert() -> None:
    message = build_message("main", {**ALERT, "state": "open", "untold": "2026-01-02T03:04:05Z"})
    assert message["Subject"] == "Low stock: Echo Dot"
    assert json.loads(message["Message"]) == {"tenant": "main", **ALERT}
    assert message["MessageAttributes"] == {
        "tenant": {"DataType": "String", "StringValue": "main"},
        "store": {"DataType": "String", "StringValue": "Berlin"},
        "item": {"DataType": "String", "StringValue": "Echo Dot"},
    }


@pytest.mark.parametrize(
    ("item", "subject"),
    [("Piñata", "Low stock: Pinata"), ("Кофе №1", "Low stock: ???? No1"), ("a\nb", "Low stock: a?b")],
)
def test_a_subject_is_ascii(item: str, subject: str) -> None:
    assert build_message("main", {**ALERT, "item": item})["Subject"] == subject


def test_a_subject_has_less_than_100_characters() -> None:
    assert build_message("main", {**ALERT, "item": "x" * 200})["Subject"] == "Low stock: " + "x" * 88
