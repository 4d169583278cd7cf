"""The disclosure ledger: what happened to each vCon and who received it, one row for each fact, in a hash chain. Decision 0033.

Rows hold no content, and of people tokens of the subject index. Names of events are those of draft-howe-vcon-lifecycle-01 where it
has one. A fact has an id: it is written once, however often it is told. Blocks; for one thread.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from vcond.base.time import Instant, rfc3339
from vcond.delivery.database import storage_errors, transaction
from vcond.delivery.facts import Fact, Kind
from vcond.records import chain
from vcond.records.subjects import SubjectIndex
from vcond.sdk.link import PREFIX

LONGEST: Final = 512
"""Characters of a text in a row."""
EVENTS: Final[dict[Kind, str]] = {
    "published": "vcon_created",
    "delivered": "vcon_sent",
    "refused": "refused",
    "discarded": "discarded",
    "lost": "lost",
}


RECEIVED: Final = "received"
"""What a hub says of a vCon that another machine made (``Made.kind``)."""
FIRST: Final = frozenset({"vcon_created", "vcon_received"})
"""The events of which one is the first of each vCon, with what it says of itself."""


class Text(msgspec.Struct, frozen=True):
    """What made a text."""

    engine: str
    model: str = ""


class Basis(msgspec.Struct, frozen=True):
    """On what basis a party is recorded."""

    basis: str
    party: int
    expiration: str | None = None
    granted: list[str] = []
    denied: list[str] = []


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a vCon the ledger says beside its facts; part of ``SubjectIndex.note``."""

    kind: str = "original"
    machine: str = ""
    """The host that made it."""
    adapter: str = ""
    texts: list[Text] = []
    bases: list[Basis] = []


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row without its number. ``at``: when it happened; ``sha512``: of the bytes published; ``sent``: of those that a sink got."""

    at: str
    event: str
    vcon: str = ""
    call: str = ""
    sink: str = ""
    target: str = ""
    form: str = ""
    sha512: str = ""
    sent: str = ""
    bytes: int = 0
    status: int = 0
    answer: str = ""
    """SHA-256 of what the receiver answered: its receipt stands in the outbox."""
    by: str = ""
    """Who did it: an engine and its model, a token's name, an operator."""
    reason: str = ""
    parties: list[list[str]] = []
    """By party, a token for each of its identifiers."""
    made: Made | None = None


class Ledger:
    """Over the database that ``open_records`` opened. Raises StorageError."""

    def __init__(self, db: sqlite3.Connection, index: SubjectIndex) -> None:
        self._db, self._index = db, index

    def tell(self, event: str, at: int, *, fact: str = "", **fields: Any) -> int:
        """A fact that happened elsewhere than in the outbox; on the disk when it returns the number of rows.

        ``fact`` tells it from all others, so that it may be told again; without it, it is one of its own. ``fields``: those of ``Row``.
        """
        row = Row(at=rfc3339(Instant(at)), event=event, **{key: _short(value) for key, value in fields.items()})
        named = _named(event, f"{fact}\0{row.vcon}") if fact else os.urandom(16)
        return self.append([(named, row)]).rows

    def follow(self, facts: Sequence[Fact], forms: dict[str, str]) -> chain.End:
        """What the outbox recorded; ``forms``: by sink, how vCons are sent to it."""
        return self.append(row for fact in facts for row in self._rows_of(fact, forms))

    def append(self, rows: Iterable[tuple[bytes, Row]]) -> chain.End:
        """Facts by id, all or none; on the disk when it returns."""
        texts = [(fact, msgspec.json.encode(row)[1:].decode()) for fact, row in rows]
        with storage_errors("write the ledger"), transaction(self._db):
            return chain.append(self._db, texts)

    @property
    def id(self) -> str:
        """Of this ledger: one that was begun anew has another."""
        with storage_errors("read the ledger"):
            found: bytes = self._db.execute("SELECT id FROM records_schema").fetchone()[0]
            return found.hex()

    def hash_of(self, row: int) -> bytes | None:
        """Of a row by its number."""
        with storage_errors("read the ledger"):
            found = self._db.execute("SELECT hash FROM ledger WHERE seq = ?", (row,)).fetchone()
            return found[0] if found else None

    def rows(self, *, vcons: Sequence[str] = (), sink: str = "", limit: int = 1000) -> list[dict[str, Any]]:
        """The newest last: all, those of some vCons (or calls), those of a sink."""
        where, values = "1", []
        if vcons:
            where += " AND (json_extract(row, '$.vcon') IN (SELECT value FROM json_each(?)) OR json_extract(row, '$.call') IN (SELECT value FROM json_each(?)))"
            values += [msgspec.json.encode(list(vcons)).decode()] * 2
        if sink:
            where += " AND json_extract(row, '$.sink') = ?"
            values.append(sink)
        with storage_errors("read the ledger"):
            found = self._db.execute(
                f"SELECT row FROM ledger WHERE {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608 - no input in it
                (*values, limit),
            ).fetchall()
        return [msgspec.json.decode(row) for (row,) in reversed(found)]

    def end(self) -> chain.End:
        """How far it reaches."""
        with storage_errors("read the ledger"):
            return chain.end(self._db)

    def _rows_of(self, fact: Fact, forms: dict[str, str]) -> Iterator[tuple[bytes, Row]]:
        if fact.sink.startswith(PREFIX):
            return  # a link receives nothing: what it makes is a vCon of its own
        at, event = rfc3339(Instant(fact.at)), EVENTS[fact.kind]
        call, made = self._known(fact.uuid)
        if fact.kind != "published":
            form, _, sent = fact.sent.partition(" ")
            answer = hashlib.sha256(fact.answer.encode()).hexdigest() if fact.answer else ""
            yield (
                fact.id,
                Row(
                    at, event, fact.uuid, call, fact.sink, _short(fact.target), form or forms.get(fact.sink, ""), fact.sha512,
                    sent, fact.bytes, fact.status, answer,
                ),
            )  # fmt: skip
            return
        found = self._index.tokens(fact.uuid)
        parties = [found.get(number, []) for number in range(max(found, default=-1) + 1)]
        same = f"{fact.uuid}\0{fact.sha512}"  # the outbox enters a file anew when its database is lost
        elsewhere = made is not None and made.kind == RECEIVED
        event = "vcon_received" if elsewhere else event
        row = Row(at, event, fact.uuid, call, sha512=fact.sha512, bytes=fact.bytes, parties=parties, made=made)
        yield _named(event, same), row
        for one in made.texts if made and not elsewhere else ():
            by = f"{one.engine} {one.model}".strip()
            yield _named("vcon_enhanced", f"{same}\0{by}"), Row(at, "vcon_enhanced", fact.uuid, call, by=by)

    def _known(self, vcon: str) -> tuple[str, Made | None]:
        with storage_errors("read the subject index"):
            row = self._db.execute(
                "SELECT call, made FROM conversations WHERE vcon = ?", (UUID(vcon).bytes,)
            ).fetchone()
        if row is None:
            return "", None
        call, made = row
        return str(UUID(bytes=call)) if call else vcon, msgspec.json.decode(made, type=Made) if made else None


def _named(event: str, fact: str) -> bytes:
    return hashlib.sha256(f"{event}\0{fact}".encode()).digest()[:16]


def _short(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value
