"""The admin socket's answers about forgetting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import structlog

from vcond.base.errors import SEVERAL, AmbiguousError, StorageError
from vcond.base.time import Instant, rfc3339
from vcond.call.events import PartyInfo
from vcond.delivery import Outbox
from vcond.publish.without_party import is_in, keep_others
from vcond.records.forgetting import Forgetter, Forgetting, Named, row
from vcond.records.holds import HeldError, Holds
from vcond.records.identifiers import KINDS, names_somebody
from vcond.records.ledger_service import Records
from vcond.records.receipts import Receipts
from vcond.records.retention import DAY, Retention
from vcond.records.subjects import SubjectIndex
from vcond.records.tombstones import Tombstones, of_call, of_key
from vcond.server.conversations import SHORTEST, Conversation, Conversations
from vcond.server.doors import Door

log = structlog.get_logger()


class Parts(Protocol):
    """What is asked of a daemon."""

    @property
    def outbox(self) -> Outbox:
        """Its outbox."""

    @property
    def tombstones(self) -> Tombstones:
        """What was forgotten."""

    @property
    def holds(self) -> Holds:
        """All legal holds."""

    @property
    def conversations(self) -> Conversations:
        """What there is of a call."""

    @property
    def forgetter(self) -> Forgetter:
        """What is being forgotten."""

    @property
    def receipts(self) -> Receipts:
        """Of what was forgotten."""

    @property
    def records(self) -> Records:
        """The subject index."""

    @property
    def retention(self) -> Retention:
        """What goes when its time has come."""

    @property
    def elsewhere(self) -> Callable[[list[str]], Awaitable[dict[str, list[str]]]]:
        """Places of vCons that vcond cannot reach."""


class ForgettingAnswers:
    """``reads`` and ``writes`` for the admin server."""

    def __init__(self, daemon: Parts) -> None:
        self._daemon = daemon
        self._one = asyncio.Lock()
        """Of two who ask for the same at once the second is told of what the first one asked for."""
        self._parties = asyncio.Lock()
        """One vCon without a party is made at a time."""
        self.reads: dict[str, Door] = {"forgetting": self._status, "receipt": self._receipt, "retention": self._plan}
        # forget-party is a door of its own: an earlier daemon would forget the whole call
        self.writes: dict[str, Door] = {
            "forget": self._forget, "forget-party": self._forget_party, "give-up": self._give_up
        }  # fmt: skip

    async def forget(self, found: Sequence[Conversation], instead: str = "") -> Forgetting:
        """All of them or, where one is on legal hold, none. ``instead``: the vCon that stays. Raises HeldError, StorageError."""
        named = [Named(one.call, list(one.vcons), list(one.merged), instead) for one in found]
        uuids = [uuid for one in named for uuid in one.uuids]
        async with self._one:
            elsewhere = await self._daemon.elsewhere(uuids)
            for uuid in uuids:
                self._daemon.holds.check(uuid)
            going_on = [of_key(*one.going_on) for one in found if one.going_on is not None]
            made = self._being(named) or await self._daemon.forgetter.ask(named, elsewhere, going_on)
        await self._daemon.forgetter.again(made)
        log.warning("request to forget accepted", receipt=made.id, calls=len(found), state=made.state)
        return made

    async def _forget(self, query: dict[str, str]) -> Any:
        """A call that is being forgotten already is tried again at once. Raises ValueError for what would be less than a whole call."""
        if more := sorted(query.keys() - {"call"}):
            raise ValueError(
                f"forget is of whole calls, and takes no {', '.join(more)}; of one party: forget-party; nothing was changed"
            )
        wanted = query.get("call", "")
        if names_somebody(wanted):
            return row(await self.forget(await self._with(wanted)))
        if (known := self._known(wanted)) is not None:
            return row(await self._daemon.forgetter.again(known))
        return row(await self.forget([await self._daemon.conversations.find(wanted)]))

    async def _one_party(self, wanted: str, party: str) -> Forgetting:
        """Of one party nothing stays. What stays of the others is stored before the whole conversation is forgotten.

        Raises LookupError, ValueError, HeldError, StorageError: nothing was forgotten then.
        """
        if names_somebody(wanted):
            raise ValueError(
                "name the call by its id, and the party behind --party-only: vcond subject lists the calls of somebody"
            )
        if (known := self._known(wanted)) is not None:
            if not all(one.instead for one in known.conversations):
                raise LookupError("this call is being forgotten as a whole: vcond forget --status")
            for stays in [one.instead for one in known.conversations]:
                if await self._still_in(stays, party):
                    raise LookupError(
                        f"another party of this call is being forgotten: ask for this one by the vCon that stays, {stays}; nothing was changed"
                    )
            return await self._daemon.forgetter.again(known)
        async with self._parties:
            one = await self._daemon.conversations.find(wanted)
            if one.going_on is not None:
                raise LookupError("the call is still active: ask again when it has ended; nothing was changed")
            for uuid in one.uuids:
                self._daemon.holds.check(uuid)
            entry, body = await self._daemon.conversations.newest(one)
            instead = await keep_others(self._daemon.outbox, self._daemon.records, entry, body, party)
            if any(of_call(uuid) in self._daemon.tombstones for uuid in one.uuids):
                await self.forget([await self._daemon.conversations.of(instead)])
                raise LookupError("this call was forgotten as a whole meanwhile, and with it what was to stay of it")
            log.warning("a vCon without one party was stored; the rest of the call is forgotten now", vcon=instead)
            try:
                return await self.forget([one], instead)
            except (HeldError, StorageError) as why:
                raise type(why)(
                    f"{why}; what stays is stored already, as vCon {instead}: ask again for the same"
                ) from None

    async def _still_in(self, instead: str, party: str) -> bool:
        """Whether a party is in the vCon that stays, as far as that is here."""
        with suppress(LookupError):
            _, body = await self._daemon.conversations.newest(await self._daemon.conversations.of(instead))
            return await asyncio.to_thread(is_in, body, self._daemon.records, party)
        return False

    async def _forget_party(self, query: dict[str, str]) -> Any:
        if not (party := query.get("party", "")).strip():
            raise ValueError(
                "party: name one, by its place (0, 1) or as tel:NUMBER, sip:, mailto:; nothing was changed"
            )
        return row(await self._one_party(query.get("call", ""), party))

    async def _with(self, identifier: str) -> list[Conversation]:
        """Every conversation that somebody is in, also those that have no vCon yet. Raises LookupError, ValueError, StorageError."""
        records, conversations = self._daemon.records, self._daemon.conversations
        calls = {one.call for one in await records.ask(lambda _ledger, index: index.find(identifier))}
        wanted = await records.ask(lambda _ledger, index: index.hash(identifier))

        def look(party: PartyInfo) -> list[str]:
            return [
                f"{kind}:{value}"
                for kind in KINDS
                if (value := getattr(party, kind)) and not value.lower().startswith("anonymous")
            ]

        def is_in(index: SubjectIndex, party: PartyInfo) -> bool:
            for one in look(party):
                with suppress(ValueError):
                    if index.hash(one) == wanted:
                        return True
            return False

        index = await records.ask(lambda _ledger, index: index)
        calls.update(await conversations.not_published(partial(is_in, index)))
        if not calls:
            raise LookupError(
                "nobody with this identifier is in a conversation that is known here: nothing was changed"
            )
        return [await conversations.of(call) for call in sorted(calls)]

    async def _status(self, _: dict[str, str]) -> Any:
        return [row(one) for one in self._daemon.forgetter.all()]

    async def _plan(self, query: dict[str, str]) -> Any:
        """What retention would have go, now or in so many days."""
        try:
            ahead = round(float(query.get("days", "0")) * DAY)
        except (ValueError, OverflowError):
            raise ValueError("days must be a number, as in 30") from None
        return [
            {"place": one.where, "vcon": one.vcon, "call": one.call, "why": one.why,
             "due": rfc3339(Instant(one.since)), "held": held}
            for one, held in await self._daemon.retention.plan(ahead)
        ]  # fmt: skip

    async def _receipt(self, query: dict[str, str]) -> Any:
        """Also of one that is not complete, as it is now."""
        wanted = query.get("id", "")
        if (known := self._known(wanted)) is not None:
            return json.loads(self._daemon.receipts.text(known))
        kept = await self._daemon.receipts.read(wanted)
        if kept is None:
            raise LookupError(f"there is no receipt {wanted[:64]!r}: vcond forget --status lists what is not complete")
        return json.loads(kept)

    async def _give_up(self, query: dict[str, str]) -> Any:
        known, place = self._known(query.get("call", "")), query.get("place", "")
        if known is None:
            raise LookupError("nothing with this id is being forgotten: vcond forget --status lists what is")
        if not await self._daemon.forgetter.give_up(known, place):
            open_ones = ", ".join(step.place for step in known.steps if step.state in {"pending", "refused"})
            raise LookupError(f"{place[:64]!r} is not waited for; places that are: {open_ones or 'none'}")
        log.warning("an operator gave up forgetting in one place; the receipt says so", receipt=known.id, place=place)
        return row(known)

    def _being(self, named: Sequence[Named]) -> Forgetting | None:
        """What is being forgotten with all these names."""
        wanted = {uuid for one in named for uuid in one.uuids}
        return next(
            (
                one
                for one in self._daemon.forgetter.all()
                if wanted <= {uuid for each in one.conversations for uuid in each.uuids}
            ),
            None,
        )

    def _known(self, wanted: str) -> Forgetting | None:
        """By the receipt's id, or a uuid that it names; a beginning is enough. Raises AmbiguousError."""
        wanted = wanted.strip().lower()
        found = [
            one
            for one in self._daemon.forgetter.all()
            if len(wanted) >= SHORTEST
            and (
                one.id.startswith(wanted)
                or any(uuid.startswith(wanted) for each in one.conversations for uuid in each.uuids)
            )
        ]
        if len(found) > 1:
            raise AmbiguousError(SEVERAL)
        return found[0] if found else None
