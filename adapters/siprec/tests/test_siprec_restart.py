"""vcond is killed and started again: what goes on, as what, and what cannot."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

from siprec_client import (
    ALICE,
    BOB,
    CAROL,
    KEY,
    Client,
    Leg,
    attached,
    drive,
    facts,
    heard,
    metadata,
    moments,
    over,
    sip_port,
    speak,
    warnings,
)

from vcond.call.events import AdapterState, encode
from vcond.testing.host import MemoryHost
from vcond.testing.watch import captured_logs
from vcond_siprec.keys import SUITES

SHA80 = "AES_CM_128_HMAC_SHA1_80"


@asynccontextmanager
async def clients(host, *made: Client):
    try:
        yield
    finally:
        for one in made:
            await one.close()


def legs(*labels, **given) -> Client:
    return Client(0, *(one if isinstance(one, Leg) else Leg(one) for one in labels), **given)


@asynccontextmanager
async def restarted(*made: Client, before, **config):
    """``before(host)`` with one vcond; then another one, which has the first one's journals."""
    async with clients(None, *made):
        async with MemoryHost("siprec") as first:
            async with attached(first, **config):
                for one in made:
                    one.port = sip_port(first)
                await before(first)
            second = MemoryHost.after_crash(first)
        await asyncio.sleep(3.0)
        async with second, attached(second, **config):
            for one in made:
                one.port = sip_port(second)
            yield second


def test_the_same_parties_go_on_and_the_time_in_between_is_an_interruption():
    one = legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB, group="g", sip="phones@pbx.example"))
        await speak(one, 1, 2)

    async def main():
        async with restarted(one, before=before) as host:
            await speak(one, 3, 4)
            call = host.by_key(KEY)
            assert [party.who.name for party in call.state.parties] == ["Alice A", "Bob B"]
            (reply,) = [await one.invite()]  # a re-INVITE finds the dialog, and has the ports that it had
            assert reply.status == 200
            assert reply.ports == [leg.to for leg in one.legs]
            assert (await one.bye()).status == 200
            call = await over(host)
            assert [heard(host, call, party, seed) > 0.95 for party, seed in ((0, 3), (1, 4))] == [True, True]
            (gap,) = call.state.interruptions
            assert 2.9 <= (gap.stop - gap.start) / 1e9 < 4.0
            assert moments(call) == [(0, "join"), (1, "join"), (0, "drop"), (1, "drop")]
            assert len([event for event in call.events if type(event).__name__ == "CallAttribute"]) == len(facts(call))
            assert not warnings(call)
            assert not any(call.state.adapter_state.values()), "nothing is left to be taken up a second time"
            assert not host.drops

    drive(main())


def test_a_second_restart_is_as_the_first():
    one = legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB))
        await speak(one, 1, 2)

    async def main():
        async with restarted(one, before=before) as second:
            ports = [leg.to for leg in one.legs]
        third = MemoryHost.after_crash(second)
        async with third, attached(third), clients(third, again := legs("1", "2", call_id=one.call_id)):
            again.port, again.tag, again.cseq = sip_port(third), one.tag, one.cseq
            assert (await again.invite()).ports == ports
            await again.bye()
            assert (await over(third)).uuid == second.calls[0].uuid

    drive(main())


def test_holds_pauses_and_who_was_told_of_stay_as_they_were():
    one = legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB))
        await speak(one, 1, 2)
        one.legs[1].direction = "inactive"
        await one.invite()

    async def main():
        async with restarted(one, before=before) as host:
            one.legs[1].direction = "sendonly"
            await one.invite()
            await one.update(metadata(CAROL, mode="partial").replace("<label>1<", "<label>3<").replace("s1", "s3"))
            await one.bye()
            call = await over(host)
            history = moments(call)
            assert [event for event in history if "hold" in event[1]] == [(0, "hold"), (0, "unhold")]
            assert [party.who.sip for party in call.state.parties] == [
                f"{user}@pbx.example" for user in ("alice", "bob", "carol")
            ], "a partial document adds to what was known before"

    drive(main())


def test_a_paused_recording_is_paused_until_its_client_sends_again():
    one = legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB))
        await speak(one, 1, 2)
        for leg in one.legs:
            leg.direction = "inactive"
        await one.invite()

    async def main():
        async with restarted(one, before=before) as host:
            await speak(one, 3, 4)
            call = host.by_key(KEY)
            assert call.state.paused
            assert call.state.tracks[-1].index < 2, "nothing came"
            for leg in one.legs:
                leg.direction = "sendonly"
            await one.invite()
            assert not call.state.paused
            await speak(one, 5, 6)
            await one.bye()
            call = await over(host)
            assert len(call.state.pauses) == 1
            assert heard(host, call, 0, 3) < 0.5
            assert heard(host, call, 0, 5) > 0.95

    drive(main())


def test_a_session_that_follows_a_restart_is_joined_to_the_record_of_the_one_before_it():
    one, two = legs("1", "2"), legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB, group="g"))
        await speak(one, 1, 2)

    async def main():
        async with restarted(one, two, before=before) as host:
            await two.invite(metadata(ALICE, CAROL, session="ses-2", group="g"))
            await speak(two, 3, 4)
            await one.bye()
            await two.bye()
            call = await over(host)
            assert facts(call)["siprec.joined_by"] == "group"
            assert [party.who.sip.partition("@")[0] for party in call.state.parties] == ["alice", "bob", "carol"]
            assert len(host.calls) == 1

    drive(main())


def test_an_encrypted_session_is_hung_up_because_its_keys_are_written_nowhere():
    one = legs(Leg("1", suite=SHA80), "2")
    keys = [one.legs[0].crypto.key]

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB))
        await speak(one, 1, 2)

    async def main():
        requests = []
        taken = one.datagram_received
        one.datagram_received = lambda data, addr: (requests.append(data.split(b" ", 1)[0]), taken(data, addr))
        with captured_logs() as logs:
            async with restarted(one, before=before) as host:
                call = host.by_key(KEY)
                assert call.over
                assert warnings(call) == ["not-resumed"]
                assert call.state.ended == call.state.interruptions[0].start
                assert host.drops["session", "not-resumed"] == 1
                assert (await one.bye()).status == 481
                assert b"BYE" in requests
                written = repr([encode(event) for event in call.events])
                assert "crypto" not in written
                assert not any(key.hex() in written or repr(key) in written for key in keys)
        assert "let the client begin a new session" in "".join(logs)
        assert len(keys[0]) == SUITES[SHA80]

    drive(main())


def test_a_session_whose_port_is_in_use_ends_and_the_others_go_on():
    one, two = legs("1", "2"), legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB))
        await two.invite(metadata(ALICE, CAROL, session="ses-2"))
        for client in (one, two):
            await speak(client, 1, 2)

    async def main():
        async with clients(None, one, two):
            async with MemoryHost("siprec") as first, attached(first):
                one.port = two.port = sip_port(first)
                await before(first)
                taken = one.legs[1].to
                second = MemoryHost.after_crash(first)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.1", taken))
                async with second, attached(second):
                    assert warnings(second.by_key(KEY)) == ["not-resumed"]
                    assert second.by_key(KEY).over
                    two.port = sip_port(second)
                    await two.bye()
                    call = await over(second, "session ses-2")
                    assert not warnings(call)

    drive(main())


def test_a_session_that_had_ended_is_no_interrupted_one():
    one = legs("1", "2")

    async def before(host) -> None:
        await one.invite(metadata(ALICE, BOB))
        await speak(one, 1, 2)
        await one.bye()
        assert not host.by_key(KEY).over, "somebody may still join"

    async def main():
        async with restarted(one, before=before) as host:
            call = await over(host)
            assert not warnings(call)
            assert not call.state.cause.text

    drive(main())


def test_a_call_of_an_earlier_version_is_left_to_the_core():
    async def main():
        async with MemoryHost("siprec") as first:
            first.call("session old", at=first.clock.now())
        second = MemoryHost.after_crash(first)
        async with second, attached(second):
            assert [call.key for call in second.unfinished()] == ["session old"]

    drive(main())


def test_what_cannot_be_read_ends_its_session_only():
    one, two = legs("1"), legs("1")

    async def before(host) -> None:
        await one.invite(metadata(ALICE))
        await two.invite(metadata(BOB, session="ses-2"))
        for client in (one, two):
            await speak(client, 1)
        call = host.by_key(KEY)
        (name,) = [name for name in call.state.adapter_state if name.startswith("session ")]
        call.emit(AdapterState(at=host.clock.now(), name=name, value='{"call_id": 7}'))

    async def main():
        async with restarted(one, two, before=before) as host:
            assert host.by_key(KEY).over
            await two.bye()
            assert not warnings(await over(host, "session ses-2"))

    drive(main())
