"""What counts as a uuid, what as a vCon of that uuid. Where the files are is shown by the tests of the store."""

from __future__ import annotations

import json

import pytest
from delivery_kit import body_of, uuid_of
from hypothesis import given
from hypothesis import strategies as st

from vcond.delivery.outbox_files import OutboxFiles, check_body
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_any_object_without_a_uuid_passes(document):
    document.pop("uuid", None)
    check_body(uuid_of(1), json.dumps(document).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b'{"uuid": 7}', body_of(2)])
def test_what_is_no_vcon_of_that_uuid(body):
    with pytest.raises(ValueError, match=r"JSON|uuid"):
        check_body(uuid_of(1), body)


def test_left_over_temporaries_are_cleared_everywhere(tmp_path):
    files = OutboxFiles(tmp_path, WholeFiles(Files()))
    files.open()
    for folder in (files.pending, files.kept, files.aside):
        (folder / ".x.vcon.json.tmp").write_bytes(b"half")
    files.open()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
