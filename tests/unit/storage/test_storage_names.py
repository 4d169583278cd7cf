"""What counts as a uuid, and so may name a file."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.storage.names import is_uuid


@given(st.uuids())
def test_uuids_as_a_vcon_writes_them(uuid):
    assert is_uuid(str(uuid))
    assert not is_uuid(uuid.hex)
    assert not is_uuid(f"{{{uuid}}}")
    assert not is_uuid(uuid.urn)


@given(st.text())
def test_nothing_else_names_a_file(text):
    if is_uuid(text):
        assert str(UUID(text)) == text
        assert not set("/.\\\0") & set(text)


@pytest.mark.parametrize("name", ["018F0000-0001-8000-8000-000000000000", "..", ""])
def test_capitals_and_paths_are_none(name):
    assert not is_uuid(name)
