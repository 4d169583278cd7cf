"""The index key is one, whoever asks for it first."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

from vcond.records import subjects_key
from vcond.records.subjects_key import NAME, index_key, read_index_key


def test_who_asks_while_it_is_made_gets_the_one_that_is_kept(tmp_path: Path, monkeypatch):
    """At a first start the ledger and the index of words ask at once, each in its thread; who is not known by the key of the file is not found again."""
    got: dict[str, bytes] = {}
    other = Thread(target=lambda: got.update(other=index_key(tmp_path, None)))

    def look(*words, **named):
        found = read_index_key(*words, **named)
        if not other.ident:
            other.start()
            other.join(0.2)  # as long as it is let in; else it waits for us
        return found

    monkeypatch.setattr(subjects_key, "read_index_key", look)
    got["one"] = index_key(tmp_path, None)
    other.join()
    assert got == dict.fromkeys(["one", "other"], (tmp_path / NAME).read_bytes())
