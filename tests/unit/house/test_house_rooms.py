"""Imports and sizes are held by tools/check_rooms.py; this shows that it would notice."""

import importlib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]


def tool(name: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOP / "tools")
        return importlib.import_module(name)


rooms, sizes, picture = tool("check_rooms"), tool("class_sizes"), tool("make_picture")


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


def made(top: Path, **sources: str) -> None:
    for name, text in sources.items():
        file = top / "vcond" / "call" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    "back",
    [
        "from vcond.call.a import A",
        "from vcond.call import a",
        "import vcond.call.a",
        "def f():\n    from vcond.call.a import A",
        "if TYPE_CHECKING:\n    from vcond.call.a import A",
    ],
)
def test_a_circle_is_found_for_type_checking_too(tmp_path: Path, monkeypatch, back: str):
    monkeypatch.setattr(rooms, "TOP", tmp_path)
    made(tmp_path, a="from vcond.call.b import B", b="import vcond.call.c", c="")
    assert rooms.in_circles() == []
    made(tmp_path, c=back)
    assert rooms.in_circles() == ["modules import one another in a circle: vcond.call.a, vcond.call.b, vcond.call.c"]


def a_class(methods: int, lines: int) -> str:
    text = "class A:\n" + "".join(f"    def m{i}(self): ...\n" for i in range(methods)) + "    def _m(self): ...\n"
    return text + "    # more\n" * (lines - text.count("\n") - 1) + "    last = 1\n"


@pytest.mark.parametrize(
    ("methods", "lines", "fits"), [(15, 200, True), (16, 200, False), (15, 201, False), (0, 201, False)]
)
def test_a_class_that_is_too_large_is_found(tmp_path: Path, monkeypatch, methods: int, lines: int, fits: bool):
    file = tmp_path / "a.py"
    file.write_text(a_class(methods, lines))
    assert sizes.sizes(file) == {"A": (lines, methods)}
    assert (sizes.large({"vcond.a": file}) == []) is fits
    monkeypatch.setattr(sizes, "FOR_GOOD", {"vcond.a.A": "2026-11-29: a reason"})
    assert len(sizes.large({"vcond.a": file})) == fits, "an exception that nobody needs is told"


def test_no_more_than_three_classes_are_excepted_for_good(tmp_path: Path, monkeypatch):
    files = {f"vcond.a{i}": tmp_path / f"a{i}.py" for i in range(4)}
    for file in files.values():
        file.write_text(a_class(16, 30))
    monkeypatch.setattr(sizes, "FOR_GOOD", {f"{module}.A": "2026-11-29: a reason" for module in list(files)[:3]})
    assert len(sizes.large(files)) == 1
    monkeypatch.setattr(sizes, "FOR_GOOD", {f"{module}.A": "2026-11-29: a reason" for module in files})
    assert sizes.large(files) == ["tools/class_sizes.py: more than three classes are excepted for good"]


def test_the_picture_of_the_imports_is_of_this_tree():
    assert (TOP / "docs" / "imports.svg").read_text("utf-8") == picture.picture(TOP), "make picture"


def test_the_picture_puts_a_room_above_what_it_imports_and_shows_circles(tmp_path: Path):
    links = {"up": {"mid", "low"}, "mid": {"low", "back"}, "back": {"mid"}, "low": set()}
    assert picture.levels(links) == {"low": 0, "mid": 1, "back": 1, "up": 2}
    drawn = picture.draw(links, "")
    assert drawn.count('class="circle"') == 2
    assert drawn.count('class="implied"') == 1
