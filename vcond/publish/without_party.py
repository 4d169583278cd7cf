"""What stays of a conversation when one party of it is forgotten: a vCon without it, in the outbox before anything goes. Decision 0034."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from vcond import __version__
from vcond.base.errors import ProtocolError
from vcond.delivery import Entry, Outbox
from vcond.publish.squeezer import stand_back
from vcond.records.ledger_made import made_of
from vcond.records.ledger_service import Records
from vcond.records.retention import ERASED
from vcond.redaction.party import TYPE, name_of, same_person
from vcond.redaction.redact import own_uuid, redact
from vcond.vcon import Document, read, serialize, validate

_OWN = ("keep", "expires")
"""Facts of the outbox that go on with it: they are of the configuration, and of no call."""
_HAS = {"delivered", "pending", "sending"}


async def keep_others(outbox: Outbox, records: Records, entry: Entry, body: bytes, who: str) -> str:
    """Publish a vCon without one party to the sinks that have, or wait for, the original; its uuid. Again is fine.

    ``entry``, ``body``: of the original. ``who``: index of the party, or an identifier of it. Raises LookupError, ValueError, StorageError.
    """
    document = await asyncio.to_thread(read, body)
    gone = _parties(document, records, who)
    uuid, people = own_uuid(entry.uuid, name_of(gone)), records.people(document)
    for other in {own_uuid(entry.uuid, name_of(same_person(people, [at]))) for at in range(len(people))} - {uuid}:
        if await outbox.get(other) is not None:
            raise LookupError(
                f"a vCon without another party of this call is there already, as a request was interrupted: ask for that party again, "
                f"then for this one in vCon {other}; nothing was changed"
            )
    if await outbox.get(uuid) is None:
        thread = ThreadPoolExecutor(1, thread_name_prefix="redact", initializer=stand_back)
        try:
            made = await asyncio.get_running_loop().run_in_executor(thread, _without, document, gone)
        finally:
            thread.shutdown(wait=False)
        facts = {name: value for name, value in entry.facts.items() if name in _OWN}
        has = {one.sink for one in entry.sinks if one.state in _HAS and one.reason != ERASED}
        await records.note(uuid, uuid, made, made_of(made, kind=TYPE))
        text = await asyncio.to_thread(serialize, made)
        await outbox.publish(uuid, text, facts, [one.sink for one in outbox.sinks() if one.sink not in has])
    return uuid


def _without(document: Document, gone: frozenset[int]) -> Document:
    try:
        made = redact(document, (), gone=gone, software=f"vcond {__version__}").document
    except ProtocolError as why:
        raise ValueError(f"its vCon cannot be redacted ({why}): nothing was changed") from None
    wrong = [f"{one.path}: {one.message}" for one in validate(made) if one.level == "error"]
    if wrong:
        raise ValueError(f"the vCon without the party would not be valid ({wrong[0]}): nothing was changed; report it")
    return made


def is_in(body: bytes, records: Records, who: str) -> bool:
    """Whether that party is in a vCon of ``keep_others``, which has all others. Raises ValueError."""
    document = read(body)
    parties = document.get("parties", [])
    return any(at < len(parties) and parties[at] for at in _chosen(records, who, parties, records.people(document)))


def _chosen(records: Records, who: str, parties: Sequence[object], people: Sequence[Collection[str]]) -> list[int]:
    if who.isdecimal():
        return [int(who)] if int(who[:6]) < len(parties) else []
    named = records.person(who)
    return [at for at, own in enumerate(people) if named in own]


def _parties(document: Document, records: Records, who: str) -> frozenset[int]:
    """That party, and those that are the same person. Raises LookupError, ValueError."""
    parties, people = document.get("parties", []), records.people(document)
    chosen = _chosen(records, who, parties, people)
    persons = {at for at, one in enumerate(parties) if one.get("type") != "bot"}
    if not chosen or not persons.issuperset(chosen):
        raise LookupError(
            "no such party is in this conversation: nothing was changed; vcond show and vcond export list them"
        )
    gone = same_person(people, chosen)
    if persons <= gone:
        raise LookupError("nobody else is in this conversation: forget all of it, without --party-only")
    if any("url" in one for one in document.get("dialog", [])):
        raise LookupError(
            "its recordings are files outside of the vCon (record.media_dir), of which nothing would stay: nothing was changed"
        )
    return gone
