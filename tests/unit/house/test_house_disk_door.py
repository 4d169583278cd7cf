"""What goes past the door to the disk is found."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools"
spec = importlib.util.spec_from_file_location("disk_door", TOOLS / "disk_door.py")
assert spec is not None
door = importlib.util.module_from_spec(spec)
sys.modules["disk_door"] = door
spec.loader.exec_module(door)


@pytest.mark.parametrize(
    "code",
    ["open(x)", "os.open(x, 0)", "os.replace(a, b)", "os.fsync(fd)", "path.open('rb')", "path.open(encoding='utf-8')",
     "path.write_text(x)", "path.read_bytes()", "path.rename(other)", "path.replace(other)", "np.memmap(x)"],
)  # fmt: skip
def test_a_module_that_goes_past_the_door_is_told_unless_it_may(tmp_path, monkeypatch, code):
    file = tmp_path / "a.py"
    file.write_text(f"import os\n{code}\n")
    monkeypatch.setattr(door, "MAY", {})
    (told,) = door.past_the_door({"vcond.a": file})
    assert told.startswith("vcond.a:2: ")
    monkeypatch.setattr(door, "MAY", {"vcond.a": "a reason"})
    assert door.past_the_door({"vcond.a": file}) == []
    assert door.past_the_door({"vcond.storage.files": file}) == [
        "vcond.a: it opens no file, take it out of tools/disk_door.py"
    ]


@pytest.mark.parametrize(
    "code", ["outbox.open()", "host.open(hint)", "text.replace('a', 'b')", "replace(x, y=1)", "board.rename(old, new)"]
)
def test_what_only_sounds_like_it_is_not(tmp_path, monkeypatch, code):
    monkeypatch.setattr(door, "MAY", {})
    (tmp_path / "a.py").write_text(f"{code}\n")
    assert door.past_the_door({"vcond.a": tmp_path / "a.py"}) == []
