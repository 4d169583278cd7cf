"""How fast the ledger is verified, and how fast and how large the subject index and the index of words are.

    python tests/bench/bench_records.py --rows 100000 --parties 1000000 --vcons 100000

Rows as of real calls (made, heard, sent to two sinks); parties one in each of as many vCons, half of them seen before.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
from pathlib import Path
from uuid import UUID

from vcond.delivery.database import transaction
from vcond.records import chain
from vcond.records.database import NAME, open_records, wiped
from vcond.records.ledger import Ledger, Made, Row, Text
from vcond.records.subjects import SubjectIndex
from vcond.records.words import BLOCK, WordIndex, Words
from vcond.records.words import NAME as WORDS_NAME

LAST = 1000
"""vCons that are added as a daemon does."""
AT = "2026-01-05T12:00:00Z"


def uuid(number: int) -> str:
    """As they are made: in the order of time."""
    return str(UUID(int=(number << 80) | (8 << 76) | (2 << 62) | 12345))


def verify(rows: int, folder: Path) -> None:
    """A ledger of so many rows."""
    db = open_records(folder / NAME)
    ledger = Ledger(db, SubjectIndex(db, bytes(32)))
    made = Made(machine="edge-1.example.com", adapter="asterisk", texts=[Text("whisper", "tiny.en")])
    token = "0123456789abcdef" * 2
    for start in range(0, rows, 10_000):
        ledger.append(
            (
                number.to_bytes(16),
                Row(AT, "vcon_created", uuid(number // 4), uuid(number // 4), sha512="ab" * 64, bytes=99,
                    parties=[[token, token], [token]], made=made)
                if number % 4 == 0
                else Row(AT, "vcon_sent", uuid(number // 4), uuid(number // 4), f"sink-{number % 4}",
                         "https://conserver.example.com/api/vcon/external-ingress", "plain", "ab" * 64, "cd" * 64, 99, 204),
            )
            for number in range(start, min(rows, start + 10_000))
        )  # fmt: skip
    heads = {
        end: db.execute("SELECT hash FROM ledger WHERE seq = ?", (end,)).fetchone()[0] for end in range(100, rows, 100)
    }
    db.execute("UPDATE ledger SET row = replace(row, 'edge-1', 'edge-2') WHERE seq = ?", (rows // 2 // 4 * 4 + 1,))
    wiped(db)
    for _ in range(3):
        began = time.perf_counter()
        _, faults = chain.verify(chain.stored(db), heads)
        print(
            f"verify of {rows} rows, {len(heads)} heads: {time.perf_counter() - began:.2f} s, {len(faults)} fault found"
        )
    db.close()
    print(f"{(folder / NAME).stat().st_size / rows:.0f} bytes a row")


def find(parties: int, folder: Path) -> None:
    """An index of so many mentions."""
    db = open_records(folder / NAME)
    db.execute("PRAGMA synchronous=OFF")
    index = SubjectIndex(db, bytes(range(32)), region="US")
    known = [f"+1212{number:07}" for number in range(2_000_000, 2_000_000 + parties // 2)]
    made = '{"machine":"edge-1.example.com","adapter":"asterisk"}'
    began = time.perf_counter()
    with transaction(db):
        for number in range(parties):
            # as ``note`` does, in one transaction
            conversation = index._conversation(uuid(number), uuid(number), number, made)
            subject = index._subject(index.hash(f"tel:{known[number % len(known)]}"))
            db.execute("INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)", (subject, conversation, 0))
    print(f"{parties} parties noted in {time.perf_counter() - began:.0f} s")
    wiped(db)
    for what, of in (("found", known), ("nobody", ["+13015550100"])):
        took = []
        for one in random.sample(of, min(len(of), 1000)):
            began = time.perf_counter()
            hits = index.find(one)
            took.append(time.perf_counter() - began)
            assert len(hits) == (2 if what == "found" else 0)
        print(
            f"{what}: median {sorted(took)[len(took) // 2] * 1e3:.2f} ms, worst {max(took) * 1e3:.2f} ms of {len(took)}"
        )
    began = time.perf_counter()
    index.forget_vcon(index.find(known[7])[0].vcon)
    print(f"forgotten in {(time.perf_counter() - began) * 1e3:.1f} ms")
    db.close()
    print(f"{(folder / NAME).stat().st_size / parties:.0f} bytes a party")


def words(vcons: int, folder: Path) -> None:
    """An index of words of so many vCons: 550 different words each, as in ten minutes of talk, of 50,000 as often as in a language."""
    index = WordIndex(folder / WORDS_NAME, bytes(range(32)))
    ranks = range(1, 50_001)
    often = list(itertools.accumulate(1 / rank for rank in ranks))
    chance = random.Random(1)
    talks = [{f"word{rank}" for rank in chance.choices(ranks, cum_weights=often, k=900)} for _ in range(300)]

    def vcon(number: int) -> Words:
        return Words(number, uuid(number), frozenset(talks[number % len(talks)] | {f"only{number}", "all"}))

    for block in range((vcons - LAST) // BLOCK):  # the rows that ``add`` makes, in a fraction of its time
        _fill(index, block, [vcon(number) for number in range(block * BLOCK, (block + 1) * BLOCK)])
    began, size, first = time.process_time(), _size(folder), (vcons - LAST) // BLOCK * BLOCK
    for start in range(first, vcons, 20):
        index.add([vcon(number) for number in range(start, min(start + 20, vcons))], lambda _: False)
    took, different = (time.process_time() - began) / (vcons - first), statistics.mean(map(len, talks)) + 2
    print(
        f"{vcons} vCons of {different:.0f} words: {took * 1e3:.2f} ms of CPU each, {size / max(first, 1):.0f} bytes each"
    )
    for what, wanted in (
        ("one", ["only77"]),
        ("nothing", ["nobody"]),
        ("one of all", ["all", "only77"]),
        ("all", ["all", "word1"]),
    ):
        times = []
        for _ in range(20):
            began = time.process_time()
            found = index.find(wanted, 60)
            times.append(time.process_time() - began)
        middle, worst = statistics.median(times) * 1e3, max(times) * 1e3
        print(f"{what}: {len(found)} found, median {middle:.1f} ms of CPU, worst {worst:.1f} ms")
    began = time.process_time()
    assert index.remove([uuid(77)])
    print(f"forgotten in {(time.process_time() - began) * 1e3:.1f} ms of CPU")
    began = time.process_time()
    index.close()
    WordIndex(folder / WORDS_NAME, bytes(range(32))).close()
    print(f"opened, with a check of all, in {time.process_time() - began:.1f} s of CPU")


def _fill(index: WordIndex, block: int, vcons: list[Words]) -> None:
    places: dict[str, bytearray] = {}
    for one in vcons:
        for word in one.words or ():
            places.setdefault(word, bytearray()).append(one.seq % BLOCK)
    postings = sorted((index._hash(block, word), found) for word, found in places.items())
    with transaction(index._db):
        rows = [(one.seq, UUID(one.uuid).bytes, len(one.words or ())) for one in vcons]
        index._db.executemany("INSERT INTO vcons VALUES (?, ?, ?)", rows)
        index._db.executemany("INSERT INTO postings VALUES (?, ?, ?)", [(block, *row) for row in postings])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if not path.name.endswith("-wal"))


def main() -> None:
    """All."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vcons", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--parties", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words(args.vcons, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        verify(args.rows, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        find(args.parties, Path(folder))


if __name__ == "__main__":
    main()
