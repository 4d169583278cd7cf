"""Whether a second engine still hears digits where a redaction has silenced what the finders found.

    python tests/bench/bench_redaction_second.py MODEL [--each 22] [--seed 2]

MODEL is the folder of ``whisper-base`` (``vcond model get whisper-base``): larger than the packaged engine, and another one. The calls are those
of ``bench_redaction.py`` with the same ``--seed``, and what the packaged engine wrote of them is in ``tests/data/redaction/heard.jsonl``; of
each call whose secret is gone (``redaction_figures.judged``) the sound is made again, silent where words go and half a second around,
and the second engine hears all of it. A redacted vCon leaves out more: sound that no text vouches for, and up to the next pause.

Goal: in 99 % no two digits in a row. Calls are taken in turn of all kinds, so a run that is cut off is of all of them.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "finders"))
import redaction_set
from redaction_figures import MARGIN, OWN, conversation, judged

from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Finder
from vcond.redaction.finding import finders, found
from vcond.speech.engine import Engine, EngineOptions, Hint, load

HEARD = Path(__file__).resolve().parents[1] / "data" / "redaction" / "heard.jsonl"
RATE, GOAL = redaction_set.RATE, 0.99
SAME = 0.05
"""Most seconds between voices of one version and another."""
DIGITS = {*redaction_set.UNITS, "oh", "double"}
_TOKEN = re.compile(r"[a-z]+|\d")


def in_a_row(text: str) -> bool:
    """Whether two digits follow one another, however they are written."""
    tokens = _TOKEN.findall(text.lower())
    sure = [token.isdigit() or token in DIGITS for token in tokens]
    return any(a and b for a, b in pairwise(sure))


def _alike(made: tuple[np.ndarray, list[list[float]]], turn: dict[str, Any]) -> bool:
    """Whether a turn is as it was heard: voices of another version are some milliseconds longer."""
    pcm, spans = made
    told = [*np.ravel(spans), len(pcm) / RATE], [*np.ravel(turn["secrets"]), turn["seconds"]]
    return len(told[0]) == len(told[1]) and np.allclose(*told, atol=SAME)


def calls(each: int, seed: int) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    """Each call with a secret, as it was heard, and the sound of its turns; the kinds in turn."""
    records = [json.loads(line) for line in HEARD.read_text("utf-8").splitlines()]
    rng, every, told = random.Random(seed), redaction_set.voices(), []
    for item, record in zip(redaction_set.items(seed, each), records, strict=True):
        told.append((item, record, rng.sample(every, 2)))
    noise = np.random.default_rng(seed)
    for n in range(each):
        for item, record, mouths in told[n : each * len(redaction_set.KINDS) : each]:
            made = [redaction_set.sound(said, mouths[said.party], noise) for said in item.turns]
            assert all(map(_alike, made, record["turns"])), "other voices"
            yield record, [pcm for pcm, _ in made]


def silenced(record: dict[str, Any], sound: list[np.ndarray], by: list[Finder]) -> list[np.ndarray]:
    """The sound of the turns without what goes."""
    spoken, out = conversation(record), [pcm.copy() for pcm in sound]
    for secret in found(by, spoken):
        for number in secret.turns:
            out[number][:] = 0
        for word in secret.words:
            start = spoken.turns[word.turn].start
            first, last = word.start - start - MARGIN, word.end - start + MARGIN
            out[word.turn][max(0, round(first * RATE)) : max(0, round(last * RATE))] = 0
    return out


def hears(engine: Engine, sound: list[np.ndarray]) -> str:
    """What the engine writes of the turns that are not silent."""
    texts = []
    for pcm in sound:
        if pcm.any():
            listening = engine.open(Hint(RATE, "en"))
            listening.feed(pcm)
            texts.append(" ".join(word.text for word in listening.finish().words))
    return " / ".join(texts)


def main() -> int:
    """Exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--each", type=int, default=22)
    parser.add_argument("--seed", type=int, default=2)
    given = parser.parse_args()
    by = finders(RedactionConfig(settings=OWN))
    engine = load("whisper", EngineOptions(model=str(given.model), threads=1))
    looked = clear = 0
    for record, sound in calls(given.each, given.seed):
        if not judged(record, by)[1]:
            continue
        text = hears(engine, silenced(record, sound, by))
        looked, clear = looked + 1, clear + (not in_a_row(text))
        print(f"{clear} of {looked} {record['kind']}", f": {text}" if in_a_row(text) else "", flush=True)
    print(f"no two digits in a row in {clear} of {looked}, {clear / max(1, looked):.1%} (goal: {GOAL:.0%})")
    return int(clear < GOAL * looked)


if __name__ == "__main__":
    sys.exit(main())
