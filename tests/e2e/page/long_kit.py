"""Much to show: outboxes of many vCons, and a conversation of two hours."""

from __future__ import annotations

import base64
import io
import sqlite3
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile

RATE = 8000


def like(count: int, first: int = 1 << 20) -> Callable[[sqlite3.Connection], None]:
    """The rows of so many vCons that are as the last one that was published, newer and without a file of their own."""

    def run(db: sqlite3.Connection) -> None:
        seq = db.execute("SELECT max(seq) FROM delivery_vcons").fetchone()[0]
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            "INSERT INTO delivery_vcons (uuid, sha512, bytes, published_at, closed_at, stage, facts)"
            "SELECT printf('019f155a-5131-80ec-832a-%012x', ? + i), sha512, bytes, published_at, closed_at, stage, facts"
            " FROM n, delivery_vcons WHERE seq = ?",
            (count, first, seq),
        )
        db.execute(
            "INSERT INTO delivery_states (sink, seq, state) SELECT s.sink, v.seq, 'delivered' FROM delivery_vcons v,"
            "(SELECT sink FROM delivery_states WHERE seq = ?) s WHERE v.seq > ?",
            (seq, seq),
        )

    return run


def two_hours(document: dict[str, Any]) -> None:
    """A vCon of the test data becomes one of two hours: ten words every three seconds, and all of its audio."""
    dialog = document["dialog"][0]
    sound, file = np.zeros(2 * 3600 * RATE, np.int16), io.BytesIO()
    sound[:: RATE // 20] = 3000
    soundfile.write(file, sound, RATE, format="FLAC")
    dialog.update(
        duration=7200.0,
        mediatype="audio/flac",
        encoding="base64url",
        body=base64.urlsafe_b64encode(file.getvalue()).decode(),
    )
    words, segments = [], []
    for number in range(2400):
        at = number * 3.0
        own = [
            {"id": len(words) + place, "text": f"word{number}-{place}", "start": at + place * 0.3, "end": at + place * 0.3 + 0.25,
             "confidence": 0.9, "speaker": number % 2}
            for place in range(10)
        ]  # fmt: skip
        words += own
        segments.append(
            {"id": number, "start": at, "end": at + 3, "text": " ".join(one["text"] for one in own), "confidence": 0.9,
             "speaker": number % 2, "words": [one["id"] for one in own]}
        )  # fmt: skip
    body = document["analysis"][0]["body"]
    body["words"], body["segments"] = words, segments
