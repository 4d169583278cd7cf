"""What a long call costs at its end and in all, squeezed while it goes on and not: ``bench_growing.py [MINUTES] [RATE]``.

The two voices of the demo, over and over in some noise, in a real journal. The call is lived through in steps of 5 s as
fast as it goes; then its vCon is built with the pieces that were made and without any, by turns, three times. Prints
processor seconds and the ratio; the goals for 30 minutes: 15 times faster at the end, at most 5 % more in all.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soxr

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.ids import uuid8
from vcond.call.state import fold
from vcond.journal import Store
from vcond.publish import squeezer as squeezer_module
from vcond.publish.squeezer import Squeezer
from vcond.publish.stored_audio import StoredAudio
from vcond.vcon import build_with_media, serialize
from vcond.vcon.building.build import INLINE_LIMIT, BuildOptions
from vcond.vcon.building.opus_pieces import InMemory
from vcond.vcon.building.riff import Form
from vcond.vcon.building.wav import expand

FASTER, MORE = 15, 1.05
STEP = 5
ZERO = 1_795_339_662 * SECOND
DEMO = Path(__file__).parents[2] / "vcond" / "demo"


def at(seconds: float) -> Instant:
    """A moment of the call."""
    return Instant(ZERO + round(seconds * SECOND))


def voice(name: str, seconds: int, rate: int) -> Any:
    """One of the demo, for so long."""
    said = expand(Form.MULAW, (DEMO / f"{name}.ulaw").read_bytes()).astype(np.float32)
    said = soxr.resample(said, 8000, rate) if rate != 8000 else said
    noise = np.random.default_rng(len(name)).standard_normal(seconds * rate) * 20
    return (np.resize(said, seconds * rate) + noise).clip(-32768, 32767).astype(np.int16)


async def live(seconds: int, rate: int, root: Path) -> tuple[Any, float]:
    """The journal of the call, and the processor seconds that went into its pieces."""
    store, moment = Store(root), [at(0)]
    opened = ev.CallOpened(at=at(0), call=str(uuid8(ZERO, 1, "e.example")), adapter="b", key="k", recorder="e")
    journal = store.open(opened)
    voices = [voice("caller", seconds, rate), voice("agent", seconds, rate)]
    for index in (0, 1):
        journal.append(ev.PartyJoined(at=at(0), party=index, key=str(index)))
        journal.append(ev.TrackOpened(at=at(0), track=index, party=index, codec="PCMU", rate=rate))
    journal.append(ev.Answered(at=at(0)))
    squeezer_module.stand_back = lambda: None  # it is waited for, and only its processor time counts
    squeezer = Squeezer(INLINE_LIMIT, now=lambda: moment[0], disk_low=lambda: False)
    call = SimpleNamespace(uuid=opened.call, journal=journal, state=fold(journal.events))
    spent = 0.0
    for now in range(STEP, seconds + 1, STEP):
        for index in (0, 1):
            start, stop = (now - STEP) * rate, now * rate
            journal.write(f"{index}.pcm", start, voices[index][start:stop])
            span = ev.Span(at=at(now), track=index, start=start, stop=stop, kind=ev.SpanKind.RECEIVED)
            journal.append(span)
            call.state.apply(span)
        moment[0] = at(now)
        await journal.flush()
        before = time.process_time()
        for _ in range(2 * STEP):  # as often as the daemon does
            squeezer.look([call])  # type: ignore[list-item]  # all that is used of a call
            if squeezer.job is not None:
                squeezer.job.result()
        spent += time.process_time() - before
    journal.append(ev.CallEnded(at=at(seconds)))
    await journal.flush()
    squeezer.close()
    return journal, spent


def end(journal: Any, kept: Any) -> tuple[float, bytes]:
    """Processor seconds of building the vCon, and the vCon."""
    before = time.process_time()
    state = fold(journal.events)
    audio = {track.index: StoredAudio(journal, track) for track in state.tracks}
    options = BuildOptions(inline_limit=INLINE_LIMIT)
    body = serialize(build_with_media(state, audio, options, kept=InMemory(kept)).document)
    return time.process_time() - before, body


async def main() -> int:
    """1 = a goal is missed, 2 = the bytes differ."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    with tempfile.TemporaryDirectory() as root:
        journal, spent = await live(round(minutes * 60), rate, Path(root) / "journal")
        kept, scratch = [], []
        for _ in range(3):
            kept.append(end(journal, journal.pieces.get))
            scratch.append(end(journal, None))
    if len({body for _, body in kept + scratch}) != 1:
        return 2
    (fast, body), (slow, _) = min(kept), min(scratch)
    form = body[body.index(b'"audio":"') :][9:30].split(b'"')[0].decode()
    print(f"{minutes:g} min at {rate} Hz as {form}, {len(body) / 1e6:.1f} MB")
    print(f"  at the end {fast:.2f} s, without pieces {slow:.2f} s: {slow / fast:.1f} times faster (goal {FASTER})")
    print(f"  in all {(spent + fast):.2f} s, {(spent + fast) / slow:.3f} of those without (goal {MORE})")
    return int(slow < FASTER * fast or spent + fast > MORE * slow)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
