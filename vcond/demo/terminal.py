"""What a demo, and ``vcond watch``, show of a call that goes on: who says what, and how far the call is.

On a terminal the words that are still being spoken and the position are redrawn in place below what is final; into a
pipe or a file go only final lines and the position at every quarter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from vcond.sdk.contract import CaptionEvent

MAX_SHOWN = 500
"""Characters of one line of text that are shown."""
MAX_NAME = 20
REDRAWS = 10
"""A second, at most, for the position."""
COLOURS = ("cyan", "green")


def clock(seconds: float) -> str:
    """``1:05`` for 65 seconds."""
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02}"


def plain(text: str) -> str:
    """Text that cannot steer a terminal: one line, printable, bounded."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_SHOWN])


class Terminal:
    """Shows one call. Use it as a context manager, so that a terminal is left as it was found."""

    def __init__(self, names: Sequence[str], seconds: float = 0.0, out: TextIO | None = None) -> None:
        """``names`` of the parties; ``seconds`` that the call will take, 0 = nobody knows, and no position is shown."""
        stream = out or sys.stdout
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter shows another
        self.console = Console(file=stream, highlight=False, soft_wrap=False)
        self._names = [plain(name) for name in names]
        self._widest = max([6, *map(len, self._names)])
        self._seconds = seconds
        self._partials: dict[int, CaptionEvent] = {}
        self._position = 0.0
        self._note = ""
        self._drawn = -1.0
        self._quarter = 1
        self._live = Live(console=self.console, auto_refresh=False, transient=True, get_renderable=self._below)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str, *, dim: bool = False) -> None:
        """A line that stays."""
        self.console.print(Text(plain(text), style="dim" if dim else ""), soft_wrap=not self.console.is_terminal)

    def note(self, text: str) -> None:
        """What is being waited for now, or nothing: beside the position on a terminal, a line elsewhere."""
        self._note = plain(text)
        if self.console.is_terminal:
            self._redraw()
        elif text:
            self.say(text)

    def caption(self, line: CaptionEvent) -> None:
        """Words as they come: partial ones are redrawn, final ones stay. Events of hold and digits are told."""
        party = line.party if line.party is not None else -1
        if line.kind == "partial":
            self._partials[party] = line
        elif line.kind == "final":
            self._partials.pop(party, None)
            if line.text:
                self._stay(line, plain(line.text))
        elif line.text in EVENTS:
            self._stay(line, EVENTS[line.text], dim=True)
        self._redraw()

    def progress(self, position: float) -> None:
        """How far the call is, in seconds."""
        self._position = position
        if self.console.is_terminal:
            if not 0 <= position - self._drawn < 1 / REDRAWS:
                self._drawn = position
                self._redraw()
        elif position * 4 >= self._quarter * self._seconds:
            self._quarter += 1
            self.say(f"[{clock(position)} of {clock(self._seconds)}]")

    def _redraw(self) -> None:
        if self._live.is_started:
            self._live.refresh()

    def _below(self) -> RenderableType:
        """What is redrawn in place."""
        rows = [self._row(line, plain(line.text), dim=True) for _, line in sorted(self._partials.items())]
        if not self._seconds:
            return Group(*rows)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(f"{clock(self._position):>6}"),
            ProgressBar(
                total=max(self._seconds, 0.001),
                completed=self._position,
                width=self._bar_width(),
                complete_style="cyan",
                finished_style="cyan",
            ),
            Text(clock(self._seconds)),
            Text(self._note, style="dim", no_wrap=True, overflow="ellipsis"),
        )
        return Group(*rows, bar)

    def _bar_width(self) -> int:
        return max(5, min(40, self.console.width - 20))

    def _stay(self, line: CaptionEvent, text: str, *, dim: bool = False) -> None:
        """Print what is final: on a terminal laid out for its width, elsewhere one line whatever its length."""
        if self.console.is_terminal:
            self.console.print(self._row(line, text, dim=dim))
        else:
            name = self._name(line)
            self.say(f"{clock(line.start):>6} {name:<{self._widest}} {text}")

    def _name(self, line: CaptionEvent) -> str:
        """As the daemon knows the party: a PBX may have its own name for it."""
        known = line.party is not None and 0 <= line.party < len(self._names)
        name = plain(line.name) or (self._names[line.party] if known and line.party is not None else "")
        self._widest = max(self._widest, min(len(name), MAX_NAME))
        return name

    def _row(self, line: CaptionEvent, text: str, *, dim: bool) -> RenderableType:
        """Time, name, words; long text is wrapped below its own beginning."""
        colour = COLOURS[line.party % len(COLOURS)] if line.party is not None else ""
        name = self._name(line)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=6, justify="right", no_wrap=True)
        grid.add_column(width=self._widest, no_wrap=True)
        grid.add_column()
        grid.add_row(
            Text(clock(line.start), style="dim"),
            Text(name, style=f"dim {colour}" if dim else f"bold {colour}"),
            Text(text, style="dim" if dim else ""),
        )
        return grid


EVENTS = {"held": "(puts the line on hold)", "resumed": "(is back)", "digit": "(presses a key)"}
"""Names of events in the daemon's live text that are worth a line. The key itself is in the vCon, not here."""
