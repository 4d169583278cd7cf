from __future__ import annotations

import io
import re

import pytest

from vcond.demo.call import FRAME, Person, Recording
from vcond.demo.terminal import Terminal, clock, plain
from vcond.sdk.contract import CaptionEvent

CALL = Recording("t", (Person("caller", "Rita"), Person("agent", "Marcus")), (b"\xff" * FRAME * 2000,) * 2)
NAMES = [person.name for person in CALL.parties]
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


class FakeTty(io.StringIO):
    """A tty as far as rich uses it: what is on the glass after all that was written."""

    def isatty(self) -> bool:
        return True

    @property
    def glass(self) -> list[str]:
        rows: list[list[str]] = [[]]
        row = column = 0
        for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|[^\x1b]", self.getvalue()):
            if part == "\n":
                row, column = row + 1, 0
                rows += [[]] * (row >= len(rows))
            elif part == "\r":
                column = 0
            elif part.endswith("A"):
                row -= int(part[2:-1])
            elif part.endswith("K"):
                rows[row] = []
            elif not part.startswith("\x1b"):
                rows[row] = [*rows[row], *" " * (column - len(rows[row]))]
                rows[row][column : column + 1] = part
                column += 1
        shown = ["".join(cells).rstrip() for cells in rows]
        return shown[: max((n for n, text in enumerate(shown, 1) if text), default=0)]


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> FakeTty:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "50")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return FakeTty()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return io.StringIO()


def caption(kind: str, text: str, party: int | None = 0, start: float = 65.2, name: str = "") -> CaptionEvent:
    return CaptionEvent("u", kind, text, party, name, start, start + 1)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.99, "0:59"), (65.2, "1:05"), (3600, "60:00"), (-3, "0:00")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_plain_takes_the_power_over_a_tty_away() -> None:
    assert plain("a\x1b[2Jb\nc\rd\u202ee") == "a [2Jb c d e"
    assert len(plain("x" * 10_000)) == 500


def test_into_a_pipe_go_final_lines_and_quarters_without_escapes(pipe: io.StringIO) -> None:
    with Terminal(NAMES, CALL.seconds, pipe) as terminal:
        terminal.say("ready", dim=True)
        terminal.caption(caption("partial", "good mor"))
        terminal.caption(caption("final", "Good morning."))
        for second in range(41):
            terminal.progress(second)
        terminal.note("hung up")
        terminal.note("")
    lines = [line.rstrip() for line in pipe.getvalue().splitlines()]
    assert lines == [
        "ready",
        "  1:05 Rita   Good morning.",
        "[0:10 of 0:40]",
        "[0:20 of 0:40]",
        "[0:30 of 0:40]",
        "[0:40 of 0:40]",
        "hung up",
    ]


def test_into_a_pipe_a_text_is_one_line_however_long(pipe: io.StringIO) -> None:
    with Terminal(NAMES, CALL.seconds, pipe) as terminal:
        terminal.caption(caption("final", LONG, party=1))
    assert pipe.getvalue() == f"  1:05 Marcus {LONG}\n"


def test_on_a_tty_long_text_wraps_below_its_beginning(tty: FakeTty) -> None:
    with Terminal(NAMES, CALL.seconds, tty) as terminal:
        terminal.caption(caption("final", LONG, party=1))
    first, *more = tty.glass
    assert first.startswith("  1:05 Marcus one two")
    assert len(more) >= 2
    assert all(re.match(r" {14}\S", row) for row in more)
    assert " ".join(" ".join([first, *more]).split()) == f"1:05 Marcus {LONG}"


def test_hold_and_digit_are_told_without_the_digit_and_other_events_are_not(pipe: io.StringIO) -> None:
    with Terminal(NAMES, CALL.seconds, pipe) as terminal:
        for event in ("callopened", "held", "resumed", "digit", "utterance"):
            terminal.caption(caption("event", event, party=1))
    assert [line.split(maxsplit=2)[2].rstrip() for line in pipe.getvalue().splitlines()] == [
        "(puts the line on hold)",
        "(is back)",
        "(presses a key)",
    ]


def test_a_party_that_the_recording_does_not_have_is_shown_by_its_name(pipe: io.StringIO) -> None:
    with Terminal(NAMES, CALL.seconds, pipe) as terminal:
        terminal.caption(caption("final", "Hello.", party=2, name="Eve\x1b["))
        terminal.caption(caption("final", "Hello?", party=None))
    assert [line.split() for line in pipe.getvalue().splitlines()] == [
        ["1:05", "Eve", "[", "Hello."],
        ["1:05", "Hello?"],
    ]


def test_the_daemons_name_for_a_party_goes_before_ours(pipe: io.StringIO) -> None:
    with Terminal(NAMES, CALL.seconds, pipe) as terminal:
        terminal.caption(caption("final", "Hello.", party=1, name="Alice Agent"))
        terminal.caption(caption("final", "Hello!", party=0, name="Rita"))
    assert pipe.getvalue() == "  1:05 Alice Agent Hello.\n  1:05 Rita        Hello!\n"


def test_on_a_tty_partials_and_position_are_redrawn_and_finals_stay(tty: FakeTty) -> None:
    with Terminal(NAMES, CALL.seconds, tty) as terminal:
        terminal.caption(caption("partial", "good"))
        terminal.caption(caption("partial", "good mor"))
        terminal.caption(caption("partial", "hel", party=1))
        terminal.progress(10)
        *rows, bar = tty.glass
        assert rows == ["  1:05 Rita   good mor", "  1:05 Marcus hel"]
        assert re.match(r"  0:10 \S+ +0:40", bar)
        terminal.caption(caption("final", "Good morning."))
        assert tty.glass[:-1] == ["  1:05 Rita   Good morning.", "  1:05 Marcus hel"]
    assert tty.glass == ["  1:05 Rita   Good morning."]
    assert tty.getvalue().rfind("\x1b[?25h") > tty.getvalue().rfind("\x1b[?25l")  # the cursor is back


def test_nothing_is_wider_than_the_tty(tty: FakeTty) -> None:
    with Terminal(NAMES, CALL.seconds, tty) as terminal:
        terminal.note("a note that is much longer than this tty is wide")
        terminal.caption(caption("partial", LONG))
        terminal.caption(caption("final", LONG, party=1))
        terminal.progress(20)
        assert max(map(len, tty.glass)) <= 50
        assert tty.glass[-1].endswith("\u2026")


def test_the_position_is_redrawn_ten_times_a_second_of_the_call_at_most(tty: FakeTty) -> None:
    with Terminal(NAMES, CALL.seconds, tty) as terminal:
        before = tty.getvalue().count("0:40")
        for frame in range(100):  # two seconds
            terminal.progress(frame * 0.02)
        drawn = tty.getvalue().count("0:40") - before
    assert 15 <= drawn <= 21


def test_a_stream_that_cannot_show_a_letter_does_not_end_the_demo() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with Terminal(NAMES, CALL.seconds, stream) as terminal:
        terminal.caption(caption("final", "Gr\u00fcezi"))
    stream.flush()
    assert b"Gr?ezi" in raw.getvalue()
