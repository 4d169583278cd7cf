"""Whose a line is: of nobody whom metadata names, of several at once, by its place; and who stays the same person."""

from __future__ import annotations

import asyncio

from siprec_client import ALICE, BOB, drive, facts, heard, metadata, over, serving, speak


def test_what_was_heard_of_everybody_before_they_were_named_is_nobodys_alone():
    async def main():
        async with serving() as (host, client):
            one = client("1")
            await one.invite()
            await speak(one, 1)
            await one.update(metadata(ALICE, BOB, mixed=True))
            await speak(one, 2)
            await one.bye()
            await host.until(lambda: host.calls[0].over)
            (call,) = host.calls
            assert [party.who.name for party in call.state.parties] == ["everybody, mixed", "Alice A", "Bob B"]
            assert {track.party for track in call.state.tracks} == {0}
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 2)] == [True, True]
            assert facts(call)["siprec.mixed"] == "1 2"

    drive(main())


def test_a_line_that_becomes_mixed_goes_on_in_a_track_of_everybody_and_back():
    async def main():
        async with serving() as (host, client):
            one = client("1")
            await one.invite(metadata(ALICE))
            await speak(one, 1)
            await one.update(metadata(ALICE, BOB, mixed=True))
            await speak(one, 2)
            await one.update(metadata(ALICE))
            await speak(one, 3)
            await one.bye()
            call = await over(host)
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 2, 3)] == [True, False, True]
            names = [party.who.name for party in call.state.parties]
            assert names == ["Alice A", "Bob B", "everybody, mixed"]
            assert heard(host, call, 2, 2) > 0.95

    drive(main())


def test_lines_without_labels_of_nobody_keep_their_parties_in_another_order():
    """By the ports of the client nothing can be told; by what is said of a line everything can."""

    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite()
            await speak(one, 1, 2)
            one.legs.reverse()
            await one.invite()
            await speak(one, 4, 3)
            await one.bye()
            await host.until(lambda: host.calls[0].over)
            (call,) = host.calls
            assert len(call.state.tracks) == 2
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 3)] == [True, True]
            assert [heard(host, call, 1, seed) > 0.95 for seed in (2, 4)] == [True, True]

    drive(main())


def test_lines_that_are_somebodys_by_their_place_stay_so_in_another_order():
    async def main():
        async with serving() as (host, client):
            one = client("7", "8")  # labels of which the metadata says nothing
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            one.legs.reverse()
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 4, 3)
            await one.bye()
            call = await over(host)
            assert len(call.state.tracks) == 2
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 3)] == [True, True]
            assert [heard(host, call, 1, seed) > 0.95 for seed in (2, 4)] == [True, True]
            assert "siprec.parties_by" in facts(call)

    drive(main())


def test_whoever_has_the_same_address_under_a_new_id_is_the_same_person():
    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            await one.invite(metadata(ALICE, BOB))
            await speak(one, 1, 2)
            await one.invite(metadata(ALICE, BOB).replace("p-", "new-"))  # a redirect of BroadWorks makes all ids anew
            await speak(one, 3, 4)
            await asyncio.sleep(1)
            await one.bye()
            call = await over(host)
            assert [party.who.name for party in call.state.parties] == ["Alice A", "Bob B"]
            assert len(call.state.tracks) == 2
            assert heard(host, call, 1, 4) > 0.95

    drive(main())


def cisco(*numbers):
    return "\r\n".join(
        f'X-Cisco-Recording-Participant: sip:{number}@192.0.2.10;media-index="{place}"'
        for place, number in enumerate(numbers)
    )


def test_who_takes_part_may_change_in_headers_of_a_later_request():
    """Cisco's network-based recording has no metadata."""

    async def main():
        async with serving() as (host, client):
            one = client(None, None, headers=cisco(1001, 1002))
            await one.invite()
            await speak(one, 1, 2)
            one.headers = cisco(1001, 1003)
            await one.invite()
            await speak(one, 3, 4)
            one.headers = ""
            await one.invite()
            await one.bye()
            await host.until(lambda: host.calls[0].over)
            (call,) = host.calls
            assert [party.who.sip.partition("@")[0] for party in call.state.parties] == ["1001", "1002", "1003"]
            assert [heard(host, call, 0, seed) > 0.95 for seed in (1, 3)] == [True, True]
            assert [heard(host, call, 1, seed) > 0.95 for seed in (2, 4)] == [True, False]
            assert heard(host, call, 2, 4) > 0.95

    drive(main())
