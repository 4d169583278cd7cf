"""The vCons of a call, as its journal and the outbox tell, and the journals that wait for them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.delivery import Entry
from vcond.publish.revisions import Awaited, Revision, looked_up, revisions

STORED = Entry("u", "aa", 9, 1, 0, "open", {}, ())
DELIVERED = replace(STORED, closed_at=2, stage="gone")
LOST = replace(STORED, stage="lost")


def call(*more: ev.Event):
    return fold([ev.CallOpened(at=Instant(0), call="u", adapter="t", key="k"), *more])


ANNOUNCED = ev.Amending(at=Instant(1), vcon="v", until=Instant(9))
FIRST, SECOND = (ev.Published(at=Instant(2), sha512="aa", vcon=vcon) for vcon in ("", "v"))


@pytest.mark.parametrize(
    ("more", "states"),
    [
        ([], ["due"]),
        ([FIRST], ["stored"]),
        ([ANNOUNCED], ["due", "due"]),
        ([ANNOUNCED, FIRST], ["stored", "due"]),
        ([ANNOUNCED, FIRST, SECOND], ["stored", "stored"]),
    ],
)
def test_a_journal_tells_which_vcons_have_left(more: list[ev.Event], states: list[str]):
    found = revisions(call(*more))
    assert [one.state for one in found] == states
    assert found[0].uuid == "u"
    assert found[1:] == [Revision("amended", "v", one.state, Instant(9)) for one in found[1:]]


@pytest.mark.parametrize(
    ("known", "states"),
    [
        ({}, ["due", "due"]),
        ({"u": STORED, "v": DELIVERED}, ["stored", "delivered"]),
        ({"u": DELIVERED, "v": LOST}, ["delivered", "due"]),
        ({"u": LOST, "v": STORED}, ["due", "stored"]),
    ],
)
async def test_the_outbox_knows_what_it_lost_and_what_was_delivered(known: dict[str, Entry], states: list[str]):
    class Shelf:
        async def get(self, uuid: str) -> Entry | None:
            return known.get(uuid)

    found = await looked_up(revisions(call(ANNOUNCED, FIRST, SECOND)), Shelf())
    assert [one.state for one in found] == states


async def test_what_the_journal_does_not_tell_is_made_again_whatever_the_outbox_has():
    class Shelf:
        async def get(self, uuid: str) -> Entry | None:
            return DELIVERED

    found = await looked_up(revisions(call(ANNOUNCED, FIRST)), Shelf())
    assert [one.state for one in found] == ["delivered", "due"]


def test_a_journal_goes_with_the_last_of_its_vcons_however_many():
    gone: list[str] = []
    awaited = Awaited(gone.append)
    vcons = [Revision("original", "u"), *(Revision("amended", name) for name in ("v", "w", "x"))]
    awaited.add("u", vcons)
    awaited.add("u", vcons[:2])  # known already
    awaited.over("unknown")
    for one in vcons:
        assert "u" in awaited
        assert gone == []
        awaited.over(one.uuid)
        awaited.over(one.uuid)
    assert "u" not in awaited
    assert gone == ["u"]
