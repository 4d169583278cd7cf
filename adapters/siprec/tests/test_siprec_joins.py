"""Which recording sessions are told in one record, and which are not."""

from __future__ import annotations

import asyncio

import pytest
from siprec_client import ALICE, BOB, CAROL, drive, facts, heard, metadata, over, serving, speak


def test_a_transfer_is_a_new_session_in_the_same_record_which_names_the_rule():
    async def main():
        async with serving() as (host, client):
            one, two = client("1", "2"), client("1", "2")
            await one.invite(metadata(ALICE, BOB, group="g"))
            await speak(one, 1, 2)
            await one.bye()  # some clients end the first one before they begin the second
            await asyncio.sleep(1)
            await two.invite(metadata(BOB, CAROL, session="ses-2", group="g"))
            await speak(two, 3, 4)
            await two.bye()
            call = await over(host)
            assert len(host.calls) == 1
            assert [party.who.sip.partition("@")[0] for party in call.state.parties] == ["alice", "bob", "carol"]
            assert heard(host, call, 1, 2) > 0.95
            assert heard(host, call, 1, 3) > 0.95
            assert heard(host, call, 2, 4) > 0.95
            assert facts(call)["siprec.joined_by"] == "group"
            assert (facts(call)["siprec.session_id"], facts(call)["siprec.session_id.2"]) == ("ses-1", "ses-2")

    drive(main())


def test_while_one_session_of_a_record_is_paused_the_other_is_recorded():
    """A customer on hold, and who is asked meanwhile: two sessions of one group."""

    async def main():
        async with serving() as (host, client):
            one, two = client("1", "2"), client("1", "2")
            await one.invite(metadata(ALICE, BOB, group="g"))
            await speak(one, 1, 2)
            for leg in one.legs:
                leg.direction = "inactive"
            await one.invite()
            assert host.by_key("session ses-1").state.paused
            await two.invite(metadata(BOB, CAROL, session="ses-2", group="g"))
            assert not host.by_key("session ses-1").state.paused
            await speak(two, 3, 4)
            await two.bye()
            assert host.by_key("session ses-1").state.paused
            await one.bye()
            call = await over(host)
            assert heard(host, call, 2, 4) > 0.95

    drive(main())


def test_a_pause_of_a_session_that_failed_over_does_not_last():
    async def main():
        async with serving() as (host, client):
            one, two = client("1", "2"), client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            for leg in one.legs:
                leg.direction = "inactive"
            await one.invite()
            await two.invite(metadata(ALICE, BOB))
            await speak(two, 3, 4)
            call = host.by_key("session ses-1")
            assert not call.state.paused
            await two.bye()
            await one.bye()
            assert heard(host, await over(host), 1, 4) > 0.95

    drive(main())


def test_a_session_that_another_took_the_place_of_ends_without_a_word_in_the_record():
    """Its server is gone, so its BYE never comes."""

    async def main():
        async with serving(silence_timeout=10) as (host, client):
            one, two = client("1", "2"), client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            for leg in one.legs:
                leg.deaf = True
            await two.invite(metadata(ALICE, BOB))
            await speak(two, 3, 4, seconds=20)
            await two.bye()
            call = await over(host)
            assert call.state.warnings == []
            assert call.state.ended - call.state.opened > 20e9

    drive(main())


def test_a_group_in_which_nobody_is_common_is_no_more_than_a_name():
    async def main():
        async with serving() as (host, client):
            one, two = client("1", "2"), client("1", "2")
            await one.invite(metadata(ALICE, BOB, group="sales"))
            await two.invite(metadata(CAROL, ("dave", ""), session="ses-2", group="sales"))
            await speak(one, 1, 2)
            await one.bye()
            await two.bye()
            await over(host)
            await over(host, "session ses-2")
            assert len(host.calls) == 2

    drive(main())


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        ({"sip": "a@pbx"}, {"sip": "a@pbx"}, "call-id"),
        ({"sip": f"{'1' * 32};remote={'2' * 32}"}, {"sip": f"{'2' * 32};remote={'1' * 32}"}, "call-id"),
        ({"headers": "Cisco-Guid: 1-2-3-4"}, {"headers": "Cisco-Guid: 1-2-3-4"}, "vendor"),
        ({"headers": "User-to-User: 00FA08000100ABCDEF01;encoding=hex"}, {"headers": "User-to-User: 00fa08000100abcdef01"}, "vendor"),
        ({"headers": "User-to-User: hello"}, {"headers": "User-to-User: hello"}, None),
        ({"sip": "a@pbx"}, {"sip": "b@pbx"}, None),
    ],
)  # fmt: skip
def test_sessions_of_one_call_are_joined_by_what_they_have_in_common(first, second, rule):
    async def main():
        async with serving() as (host, client):
            one = client("1", headers=first.pop("headers", ""))
            two = client("1", headers=second.pop("headers", ""))
            await one.invite(metadata(ALICE, **first))
            await two.invite(metadata(BOB, session="ses-2", **second))
            await speak(one, 1)
            await speak(two, 2)
            await one.bye()
            await two.bye()
            call = await over(host)
            assert len(host.calls) == (2 if rule is None else 1)
            assert facts(call).get("siprec.joined_by") == rule

    drive(main())


def test_a_client_that_goes_over_to_a_new_dialog_goes_on_in_the_same_record_once():
    async def main():
        async with serving() as (host, client):
            one, two = client("1", "2"), client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            await two.invite(metadata(ALICE, BOB))
            await speak(two, 3, 4)
            await speak(one, 5, 6)  # a copy that nobody wants
            await two.bye()
            await one.bye()
            call = await over(host)
            assert len(host.calls) == 1
            assert len(call.state.parties) == 2
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 3, 5)] == [True, True, False]
            assert facts(call)["siprec.joined_by"] == "session"

    drive(main())


def test_the_two_calls_of_a_phone_that_is_recorded_are_one_record_with_both_people():
    """Cisco's built-in bridge: what the phone says, and what it hears; Call-IDs differ, the leg is the same."""

    async def main():
        async with serving() as (host, client):
            near, far = client(None), client(None)
            for one, end in ((near, "x-nearend"), (far, "x-farend")):
                one.headers = "P-Asserted-Identity: <sip:2000@ucm1>"
                one.sender = f"<sip:2000@ucm1;{end};x-refci=27298698;x-nearendclusterid=lab;x-farendaddr=1000>"
                assert (await one.invite()).status == 200
            async with asyncio.TaskGroup() as group:
                group.create_task(speak(near, 1))
                group.create_task(speak(far, 2))
            await near.bye()
            await far.bye()
            call = await over(host, f"call-id {near.call_id}")
            assert len(host.calls) == 1
            assert [party.who.sip or party.who.name for party in call.state.parties] == ["2000@ucm1", "1000"]
            assert [heard(host, call, party, party + 1) > 0.95 for party in (0, 1)] == [True, True]
            assert facts(call)["siprec.joined_by"] == "vendor"

    drive(main())
