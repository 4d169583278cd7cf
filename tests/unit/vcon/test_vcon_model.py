"""Table 1 of core-04 section 4.3, cell by cell: what the table says is what the validator does."""

from __future__ import annotations

import pytest

from vcond.vcon import validate
from vcond.vcon.model import APPLICABILITY

VALUES = {
    "start": "2026-11-22T09:00:00Z", "duration": 1.0, "parties": [0], "originator": 0, "recordings": [1],
    "recording_set": 2, "mediatype": "text/plain", "filename": "x", "body": "x", "encoding": "none",
    "url": "https://a.example", "content_hash": "sha512-" + "A" * 86, "disposition": "busy", "session_id": {},
    "party_history": [], "transferee": 0, "transferor": 0, "transfer_target": 0, "original": 1, "target_dialog": 1,
    "consultation": 1, "application": "x", "message_id": "x",
}  # fmt: skip
CODES = {"M": "missing", "S": "missing-should", "X": "not-applicable", "SN": "should-not", "-": "should-not"}
CELLS = [(kind, name, mark) for kind, row in APPLICABILITY.items() for name, mark in row.items() if name != "type"]


def codes(kind: str, name: str, *, there: bool) -> set[str]:
    dialog = {"type": kind, "application": "x"} | ({name: VALUES[name]} if there else {})
    if name == "application":
        dialog = {"type": kind, "start": VALUES["start"]} | ({name: VALUES[name]} if there else {})
    document = {
        "parties": [{}],
        "dialog": [dialog, {"type": "recording"}, {"type": "recording-set", "recordings": [0]}],
    }
    return {finding.code for finding in validate(document) if finding.path == f"$.dialog[0].{name}"} & set(
        CODES.values()
    )


@pytest.mark.parametrize(("kind", "name", "mark"), CELLS)
def test_every_cell_of_the_table(kind, name, mark):
    absent, present = codes(kind, name, there=False), codes(kind, name, there=True)
    if mark in {"M", "S"}:
        assert (absent, present) == ({CODES[mark]}, set())
    elif mark == "O":
        assert absent == present == set()
    else:
        assert (absent, present) == (set(), {CODES[mark]})


def test_the_table_has_the_size_of_that_in_the_draft():
    assert {len(row) for row in APPLICABILITY.values()} == {24}
    assert len(APPLICABILITY) == 5
