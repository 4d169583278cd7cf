"""What rules of consent cost while calls are captured, and what finders cost beside the texts that they read.

    python tests/bench/bench_policy.py [--pairs 41] [--calls 1] [--seconds 180] [--utterances 1] [--only capture|texts]

Each pair is one short run without and one with, in one process, which of them first in turn, so that a machine that becomes slower or faster counts for both.
What counts is the ratio of CPU time: the median of the pairs, and between which of them the true one lies with 95 % confidence (by rank, so whatever the spread is).

- Capture: calls of two parties whose audio is placed and written to a journal (in memory, where there is such a folder, so that no disk is measured),
  without a rule, and with one (``ask``, keys, words, each party agrees): from the first second on, or after five seconds of three minutes that are buffered,
  encrypted, until then. No adapter decodes anything and nobody cuts utterances, so the share is that of the least that capture does.
- Texts: utterances of calls with secrets that the packaged engine hears, and with it every finder and the words of a rule.
  That the engine takes is more than finders by so much that the difference of two runs is mostly chance, so what they take
  is also timed by itself.

Goals: 3 % of capture's, 5 % of the text path's CPU. Missed is one that the median misses.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "finders"))
import redaction_set
from deaf_registry import Deaf
from redaction_figures import OWN, conversation

from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import LiveFeed
from vcond.capture.registry import CallRegistry
from vcond.config import DaemonConfig
from vcond.journal import Store
from vcond.policy.consent import Phrases, Terms, by_words
from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Finder
from vcond.redaction.finding import finders, found
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.speech.engine import EngineOptions, Hint, load

RATE, FRAME = 8000, 160
START = 1_795_339_662 * SECOND
CAPTURE, TEXTS = 0.03, 0.05
ASKED = 5 / 180
"""Until when a party that is buffered has agreed, as a part of its call."""
MEMORY = Path("/dev/shm")
DOUBT = 0.05
"""How often the true ratio may lie outside of what is told."""
WORDS: Phrases = {"en": ("yes you may", "yes that is fine")}
REFUSALS: Phrases = {"en": ("you may not", "no thank you", "please do not")}
KEPT = Terms(
    mode="ask", until_granted="keep", key_granted="1", key_denied="2", words_granted=WORDS, words_denied=REFUSALS
)
BUFFERED = Terms(mode="ask", until_granted="buffer", key_granted="1", key_denied="2")


def captured(terms: Terms | None, given: argparse.Namespace) -> float:
    """CPU seconds of some calls, from the first frame to the end of their journals."""
    with tempfile.TemporaryDirectory(prefix="vcond-bench-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        return asyncio.run(_captured(Path(folder), terms, given))


async def _captured(root: Path, terms: Terms | None, given: argparse.Namespace) -> float:
    now = [START]
    clock = SteadyClock(lambda: now[0], lambda: now[0])
    store = Store(root)
    registry = CallRegistry(
        DaemonConfig(name="edge.example.com", state_dir=str(root)), store=store, speech=Deaf(), clock=clock, bus=LiveFeed(),
        finish=lambda call, journal: None, discard=lambda journal: None, terms_of_call=lambda _: terms,
    )  # fmt: skip
    frames = (np.random.default_rng(1).standard_normal((50, FRAME)) * 3000).astype("<i2")
    frames = [one.tobytes() for one in frames]
    began = time.process_time()
    calls = [registry.call("bench", str(number), clock.now(), "inbound") for number in range(given.calls)]
    tracks = []
    for call in calls:
        for key in ("a", "b"):
            party = call.party(key, at=clock.now(), who=ev.PartyInfo(name=key))
            tracks.append(call.track(party, at=clock.now(), codec=Codec.L16, rate=RATE, clock=ArrivalClock()))
    agreed = round(ASKED * given.seconds * 50) if terms is BUFFERED else 25
    for step in range(given.seconds * 50):
        now[0] += SECOND // 50
        for track in tracks:
            track.write(frames[step % 50], arrived=clock.now())
        if step == agreed and terms is not None:
            for call in calls:
                for party in (0, 1):
                    call.emit(ev.Consent(at=clock.now(), party=party, state="granted"))
        if step % 25 == 0:
            registry.tick(clock.now())
        if step % 10 == 0:
            await asyncio.sleep(0)
    for call in calls:
        await call.journal.flush()
    await store.close()
    return time.process_time() - began


class Texts:
    """Utterances, heard by the engine as often as they are asked for."""

    def __init__(self, count: int) -> None:
        self._engine = load("whisper", EngineOptions(threads=1))
        rng, say = np.random.default_rng(7), redaction_set.voices()[0]
        every = [item for item in redaction_set.items(7, 1) if item.kind]
        self._items = [
            (item.kind, [(said.party, *redaction_set.sound(said, say, rng)) for said in item.turns]) for item in every
        ]
        self._count = count
        self.finding = 0.0
        """CPU seconds of finders and rules so far."""

    def heard(self, by: Sequence[Finder]) -> float:
        """CPU seconds of hearing them, and of finding what is secret in them where there are finders."""
        began, left = time.process_time(), self._count
        for kind, turns in self._items:
            out = []
            for party, pcm, spans in turns:
                listening = self._engine.open(Hint(RATE, "en"))
                listening.feed(pcm)
                words = listening.finish().words
                times = [round(100 * at) for word in words for at in (word.start, word.stop)]
                text = " ".join(word.text for word in words)
                seconds = round(len(pcm) / RATE, 2)
                out.append({"party": party, "seconds": seconds, "text": text, "times": times, "secrets": spans})
                left -= 1
            if by:
                self._find(by, {"kind": kind, "turns": out})
            if left <= 0:
                break
        return time.process_time() - began

    def _find(self, by: Sequence[Finder], record: dict) -> None:
        began = time.process_time()
        found(by, conversation(record))
        for turn in record["turns"]:
            by_words(KEPT, turn["text"], "en")
        self.finding += time.process_time() - began


def within(count: int) -> tuple[int, int]:
    """Between which two of so many values, by rank, the median of all such values lies (``DOUBT``): what a fair coin gives."""
    outside, rank = 0.0, 0
    while rank < count // 2 and 2 * (outside + math.comb(count, rank) / 2**count) <= DOUBT:
        outside += math.comb(count, rank) / 2**count
        rank += 1
    low = max(0, rank - 1)
    return low, count - 1 - low


def share(ratios: Sequence[float]) -> str:
    """The median of what came on top, and between what it lies."""
    more = sorted(ratio - 1 for ratio in ratios)
    low, high = within(len(more))
    return f"{statistics.median(more):+.2%} (95 %: {more[low]:+.2%} to {more[high]:+.2%}, of {len(more)} pairs)"


def pairs(count: int, plain: Callable[[], float], ruled: Callable[[], float]) -> list[float]:
    """The ratios of two runs. Nothing of one is left to be collected in the other."""
    ratios = []
    for number in range(count):
        spent = {}
        for run in (plain, ruled) if number % 2 else (ruled, plain):
            gc.collect()
            spent[run] = run()
        ratios.append(spent[ruled] / spent[plain])
    return ratios


def capture(given: argparse.Namespace) -> bool:
    """Whether the goal of capture is missed."""
    missed = False
    for what, terms in {"capture, everybody agreed": KEPT, "capture, a part is buffered": BUFFERED}.items():
        least = min(captured(None, given), captured(terms, given))  # what is loaded and compiled once
        ratios = pairs(given.pairs, lambda: captured(None, given), lambda of=terms: captured(of, given))  # type: ignore[misc]  # mypy sees no default of a lambda
        print(f"{what}: {share(ratios)} of about {least:.2f} s (goal: {CAPTURE:.0%})", flush=True)
        missed = missed or statistics.median(ratios) - 1 > CAPTURE
    return missed


def texts(given: argparse.Namespace) -> bool:
    """Whether the goal of the text path is missed."""
    if shutil.which("espeak-ng") is None:
        print("texts: skipped: espeak-ng is missing: apt-get install espeak-ng libflite1")
        return False
    said, by = Texts(given.utterances), finders(RedactionConfig(settings=OWN))
    said.heard(by)
    said.finding, began = 0.0, time.process_time()
    ratios = pairs(given.pairs, lambda: said.heard([]), lambda: said.heard(by))
    alone = 2 * said.finding / (time.process_time() - began)
    print(f"texts: {share(ratios)}; finders and rules by themselves {alone:.2%} (goal: {TEXTS:.0%})")
    return max(alone, statistics.median(ratios) - 1) > TEXTS


def main() -> int:
    """Exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=41)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--utterances", type=int, default=1)
    parser.add_argument("--only", choices=("capture", "texts"))
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    parts = {"capture": capture, "texts": texts}
    return int(sum(part(given) for name, part in parts.items() if given.only in {None, name}) > 0)


if __name__ == "__main__":
    sys.exit(main())
