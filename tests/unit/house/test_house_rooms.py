"""The import table is held by tools/check_rooms.py; this shows that it would notice."""

import importlib.util
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location("check_rooms", TOP / "tools" / "check_rooms.py")
assert spec is not None
assert spec.loader is not None
rooms = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rooms)


@pytest.mark.parametrize(
    ("room", "line", "allowed"),
    [
        ("call", "from vcond.media.codecs import Codec", False),
        ("call", "import asyncio", False),
        ("vcon", "from pathlib import Path", False),
        ("vcon", "from vcond import journal", False),
        ("journal", "from vcond.vcon import build", False),
        ("delivery", "from vcond.call.events import Event", False),
        ("speech", "import vcond_asterisk", False),
        ("speech", "from vcond.journal import Store", True),
        ("journal", "from vcond.call.events import Event", True),
        ("delivery", "from vcond.base import metrics", True),
        ("call", "from vcond.base import metrics", False),
        ("media", "from vcond.base.errors import BadMediaError", True),
    ],
)
def test_an_import_that_the_table_forbids_is_found(tmp_path: Path, monkeypatch, room: str, line: str, allowed: bool):
    monkeypatch.setattr(rooms, "TOP", tmp_path)
    file = tmp_path / "vcond" / room / "made_up.py"
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert (list(rooms.wrong(file, room, rooms.TABLE[room])) == []) is allowed


def test_the_tree_keeps_the_table(capsys):
    assert rooms.main() == 0, capsys.readouterr().out
