"""A newcomer types all of README, and an operator all of docs/OPERATIONS.md, in order, in one checkout."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.documents import NOT_TYPED, ROOT, find_reason, read_blocks
from tests.support.newcomer import Newcomer

TYPED = ("README.md", "docs/OPERATIONS.md")
RUN_SINGLY = ("docs/CLIENTS.md",)
"""What test_docs.py runs, each block by itself."""
PROGRAMS = ("bash", "curl", "make", "nc", "openssl")


@pytest.mark.skipif(None in map(shutil.which, PROGRAMS), reason=f"one of {', '.join(PROGRAMS)} is not installed")
@pytest.mark.parametrize("document", TYPED)
def test_document_goes_as_it_is_shown_when_it_is_typed_in_order(tmp_path: Path, document: str) -> None:
    make_run = next(read_blocks("README.md"))
    with Newcomer(tmp_path) as newcomer:
        newcomer.type(make_run)
        alarms = [line for line in newcomer.log if re.search(r"\[(?!info)", line)]
        assert len(alarms) == 1, alarms
        assert "dev_stage_is_open_to_others" in alarms[0]
        for block in read_blocks(document):
            if block == make_run:
                continue
            try:
                newcomer.type(block)
            except AssertionError as error:
                error.add_note(f"{document}:{block.line}\n{''.join(newcomer.log)}")
                raise
        newcomer.leave()


def test_every_line_that_is_not_typed_has_a_reason_and_every_reason_a_line() -> None:
    reasons = {
        document: {
            find_reason(line)
            for block in read_blocks(document)
            for line in block.text.splitlines()
            if block.kind == "shell"
        }
        for document in (*TYPED, *RUN_SINGLY)
    }
    assert set.union(*reasons.values()) == {None, *NOT_TYPED.values()}
    assert None not in reasons["docs/CLIENTS.md"]


def test_every_document_that_has_something_to_type_is_tested() -> None:
    documents = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    assert {document for document in documents if any(read_blocks(document))} == {*TYPED, *RUN_SINGLY}
