"""What ends the process of a link."""

import os
import select
import sys
from contextlib import suppress
from pathlib import Path

import links_of_others
import msgspec
import pytest

from vcond.publish.apart import Apart, ApartError
from vcond.publish.link_process import Started
from vcond.sdk.link import LinkOptions


def test_what_its_process_started_ends_with_it(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(links_of_others.__file__).parent)])
    told = tmp_path / "child"
    started = Started("links_of_others:Forks", "forks", LinkOptions({"child": str(told)}), 1000)
    apart = Apart("vcond.publish.link_process", msgspec.msgpack.encode(started), 5)
    with pytest.raises(ApartError, match="took longer than 5 s"):  # its child has the socket still
        apart.asked(b'{"uuid": "019b8d1a-0000-8000-8000-000000000001"}')
    with suppress(ProcessLookupError):  # it is gone
        child = os.pidfd_open(int(told.read_text()))
        assert select.select([child], [], [], 30)[0]
        os.close(child)
