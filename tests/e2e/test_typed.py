"""A newcomer types all of README, and an operator all of docs/OPERATIONS.md, in order, in one checkout."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.newcomer import NOT_TYPED, ROOT, Newcomer, find_reason, read_blocks

PROGRAMS = ("bash", "curl", "make", "nc", "openssl")


@pytest.mark.skipif(None in map(shutil.which, PROGRAMS), reason=f"one of {', '.join(PROGRAMS)} is not installed")
@pytest.mark.parametrize("document", ["README.md", "docs/OPERATIONS.md"])
def test_document_goes_as_it_is_shown_when_it_is_typed_in_order(tmp_path: Path, document: str) -> None:
    blocks = list(read_blocks(document))
    with Newcomer(tmp_path) as newcomer:
        if document != "README.md":
            newcomer.type(next(block for block in read_blocks("README.md") if block.text == "make run\n"))
        for block in blocks:
            try:
                newcomer.type(block)
            except AssertionError as error:
                error.add_note(f"{document}:{block.line}\n{''.join(newcomer.log)}")
                raise
        newcomer.leave()


def test_healthy_start_has_no_alarm_but_the_one_that_is_meant(tmp_path: Path) -> None:
    with Newcomer(tmp_path) as newcomer:
        newcomer.type(next(read_blocks("README.md")))
        newcomer.leave()
        alarms = [line for line in newcomer.log if not re.search(r"\[info |^(Starting|make)", line)]
        assert len(alarms) == 1, alarms
        assert "dev_stage_is_open_to_others" in alarms[0]


def test_every_line_that_is_not_typed_has_a_reason_and_every_reason_a_line() -> None:
    lines = [
        line
        for document in ("README.md", "docs/OPERATIONS.md")
        for block in read_blocks(document)
        for line in block.text.splitlines()
        if block.kind == "shell"
    ]
    assert {find_reason(line) for line in lines} == {None, *NOT_TYPED.values()}


def test_every_document_that_has_something_to_type_is_tested() -> None:
    documents = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    typed = {"README.md", "docs/OPERATIONS.md"}
    # test_docs.py runs what this one has, each block by itself.
    singly = {"docs/CLIENTS.md"}
    assert {document for document in documents if any(read_blocks(document))} == typed | singly
