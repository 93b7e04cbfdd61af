"""Newcomers type all of README and of the tutorial, and an operator the pages on operation, each in one checkout."""

import re
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest

from tests.support.documents import NOT_TYPED, ROOT, TYPED, find_reason, read_blocks
from tests.support.newcomer import Newcomer

RUN_SINGLY = ("docs/CLIENTS.md",)
"""Documents whose blocks test_docs.py runs separately."""
CHECKED_AS_CODE = {f"docs/how-to/add-a{name}.md" for name in ("n-action", "-route", "-setting", "-table")}
"""Documents whose snippets tests/unit/test_how_tos.py runs."""
PROGRAMS = ("bash", "curl", "make", "nc", "openssl")


@pytest.mark.skipif(None in map(shutil.which, PROGRAMS), reason=f"one of {', '.join(PROGRAMS)} is not installed")
@pytest.mark.parametrize("documents", TYPED, ids=lambda documents: documents[0])
def test_documents_go_as_they_are_shown_when_they_are_typed_in_order(tmp_path: Path, documents: Sequence[str]) -> None:
    make_run = next(read_blocks("README.md"))
    with Newcomer(tmp_path) as newcomer:
        newcomer.type(make_run)
        alarms = [line for line in newcomer.log if re.search(r"\[(?!info)", line)]
        assert len(alarms) == 1, alarms
        assert "dev_stage_is_open_to_others" in alarms[0]
        for document, block in ((name, block) for name in documents for block in read_blocks(name)):
            if block.text == make_run.text:
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
        for document in (*chain(*TYPED), *RUN_SINGLY)
    }
    assert set.union(*reasons.values()) == {None, *NOT_TYPED.values()}
    assert None not in reasons["docs/CLIENTS.md"]


def test_every_document_that_has_something_to_type_is_tested() -> None:
    documents = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]
    assert {document for document in documents if any(read_blocks(document))} == {
        *chain(*TYPED),
        *RUN_SINGLY,
        *CHECKED_AS_CODE,
    }
