"""Whether a second engine still hears digits where a redaction has silenced what the finders found.

    python tests/bench/bench_redaction_second.py MODEL [--each 22] [--seed 2] [--most 60] [--keep FILE]

MODEL is the folder of ``whisper-base`` (``vcond model get whisper-base``): larger than the packaged engine, and another one. The calls are those
of ``bench_redaction.py`` with the same ``--seed``, and what the packaged engine wrote of them is in ``tests/data/redaction/heard.jsonl``; of
each call whose secret is gone (``redaction_figures.judged``) the sound is made again, silent where words go and half a second around,
and the second engine hears all of it. A redacted vCon leaves out more: sound that no text vouches for, and up to the next pause.

Calls are taken in an order by lot, of ``--seed``, so the first of them are a sample of all; ``--most`` ends it after so many (0 = all). What was heard
of each is written to ``--keep``, and a run that finds it there goes on behind it.

Goal: in 99 % no two digits in a row. Of a sample, the share that is passed with 95 % confidence (Clopper and Pearson, one-sided) is told beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
from collections.abc import Container, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

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
DOUBT = 0.05
"""How often a share that is told with confidence may be too high."""
SAME = 0.1
"""Most seconds between voices of one version and another, and of one: espeak-ng draws lots for the end of a last sound."""
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


class Call(NamedTuple):
    """A call with a secret that is gone."""

    number: int
    """Its place in the set."""
    record: dict[str, Any]
    """As it was heard."""
    sound: list[np.ndarray]
    """Of its turns, whole."""


def calls(each: int, seed: int, by: list[Finder], done: Container[int]) -> Iterator[Call]:
    """The calls whose secret is gone, in an order by lot; those that are done are left out."""
    records = [json.loads(line) for line in HEARD.read_text("utf-8").splitlines()]
    rng, voices, secret = random.Random(seed), redaction_set.voices(), []
    for number, (item, record) in enumerate(zip(redaction_set.items(seed, each), records, strict=True)):
        mouths = rng.sample(voices, 2)
        if item.kind:
            secret.append((number, item, record, mouths))
    rng.shuffle(secret)
    for number, item, record, mouths in secret:
        if number in done or not judged(record, by)[1]:
            continue
        noise = np.random.default_rng([seed, number])
        made = [redaction_set.sound(said, mouths[said.party], noise) for said in item.turns]
        assert all(map(_alike, made, record["turns"])), "other voices"
        yield Call(number, record, [pcm for pcm, _ in made])


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


def at_least(clear: int, looked: int) -> float:
    """The share of all that is passed with 95 % confidence when so many of a sample passed: Clopper and Pearson, by halving."""
    low, high = 0.0, clear / max(1, looked)
    for _ in range(40):
        share = (low + high) / 2
        as_good = sum(math.comb(looked, n) * share**n * (1 - share) ** (looked - n) for n in range(clear, looked + 1))
        low, high = (share, high) if as_good < DOUBT else (low, share)
    return low


def told(heard: list[dict[str, Any]]) -> str:
    """What came of it."""
    clear, looked = sum(one["clear"] for one in heard), len(heard)
    return (
        f"no two digits in a row in {clear} of {looked}, {clear / max(1, looked):.1%} (goal: {GOAL:.0%});"
        f" of all such calls at least {at_least(clear, looked):.1%}, with 95 % confidence"
    )


def main() -> int:
    """Exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--each", type=int, default=22)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--most", type=int, default=60)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    before = given.keep is not None and given.keep.exists()
    heard = [json.loads(line) for line in given.keep.read_text("utf-8").splitlines()] if before else []
    by = finders(RedactionConfig(settings=OWN))
    engine = load("whisper", EngineOptions(model=str(given.model), threads=1))
    for call in calls(given.each, given.seed, by, {one["number"] for one in heard}):
        if given.most and len(heard) >= given.most:
            break
        text = hears(engine, silenced(call.record, call.sound, by))
        one = {"number": call.number, "kind": call.record["kind"], "clear": not in_a_row(text), "text": text}
        heard.append(one)
        if given.keep is not None:
            with given.keep.open("a", encoding="utf-8") as kept:
                kept.write(json.dumps(one) + "\n")
        print(f"{len(heard)} {one['kind']}", "" if one["clear"] else f": {text}", flush=True)
    print(told(heard))
    return int(sum(one["clear"] for one in heard) < GOAL * len(heard))


if __name__ == "__main__":
    sys.exit(main())
