"""The whole adapter against a Janus in virtual time: forwards, losses, restarts, and what check says."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import janus_fake
import pytest
from janus_fake import FakeJanus, Forward

from vcond.media.rtp.ports import RtpSocket
from vcond.sdk.contract import SECOND
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond.testing.watch import captured_logs
from vcond_webrtc.janus import JanusAdapter
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.rooms import RoomTracker
from vcond_webrtc.janus.taps import TapManager

HOST = "127.0.0.1"
KEYS = {
    "api_secret": janus_fake.API_SECRET,
    "admin_key": janus_fake.ADMIN_KEY,
    "secrets": {"*": janus_fake.ROOM_SECRET},
    "pins": {"*": janus_fake.PIN},
    "grace": 1.0,
    "poll": 0.5,
}


@asynccontextmanager
async def running(janus: FakeJanus, host: MemoryHost | None = None, **changes):
    """An adapter at work; no forward of it is left when the block is."""
    host = host or MemoryHost("janus")
    task = asyncio.create_task(JanusAdapter(JanusConfig(url=janus.url, **{**KEYS, **changes})).run(host))
    try:
        yield host
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert host.faults == []


async def in_room(janus: FakeJanus, *names: str, room: int = 1, **more):
    people = [janus.join(room, name, **more) for name in names]
    for person in people:
        person.publish()
    return people


def seconds_lost(call) -> float:
    return sum((stop - start) / track.rate for track in call.state.tracks for start, stop, kind in track.spans
               if kind == "lost")  # fmt: skip


def virtual(test):
    """Run a coroutine of a test in virtual time, with a Janus."""

    def run() -> None:
        async def main() -> None:
            async with FakeJanus() as janus:
                await test(janus)

        run_virtual(main())

    run.__name__ = test.__name__
    return run


@virtual
async def test_forwards_of_a_killed_run_are_removed_and_those_of_others_stay(janus):
    (rita,) = await in_room(janus, "Rita")
    async with running(janus) as host:
        await host.until(lambda: host.calls[0].state.tracks, what="a track")
        (ours,) = janus.forwards()
    assert janus.forwards() == []
    left = Forward(1, ours.host, ours.port + 2, ours.ssrc, 0)
    strangers = [Forward(2, "127.0.0.1", 9, 0, 0), Forward(3, "127.0.0.1", 9, 4242, 0)]
    rita.forwards |= {forward.stream_id: forward for forward in (left, *strangers)}
    async with running(janus, name="another vcond") as host:
        await host.until(lambda: host.calls[0].state.tracks, what="a track")
        await asyncio.sleep(5)
        assert len(janus.forwards()) == 4, "another one's are not touched"
    async with running(janus) as host:
        await host.until(lambda: left not in janus.forwards() and host.calls[0].state.tracks)
        await host.until(lambda: len(janus.forwards()) == 3)
    assert janus.forwards() == strangers


@virtual
async def test_a_forward_that_is_gone_is_made_again(janus):
    rita, marcus = await in_room(janus, "Rita", "Marcus")
    async with running(janus) as host:
        await host.until(lambda: len(host.calls[0].state.tracks) == 2, what="tracks")
        (first,) = rita.forwards.values()
        kept = dict(marcus.forwards)
        rita.forwards.clear()  # published anew between two looks, or somebody stopped it
        await host.until(lambda: len(host.calls[0].state.tracks) == 3, what="her second track")
        (second,) = rita.forwards.values()
        assert second.ssrc != first.ssrc
        assert marcus.forwards == kept
        await rita.speak(voice(1, 2.0))
        assert find(voice(1, 2.0), host.audio(host.calls[0], 0))[0] > 0.95


@virtual
async def test_audio_goes_on_while_the_connection_is_lost(janus):
    (rita,) = await in_room(janus, "Rita")
    async with running(janus) as host:
        await host.until(lambda: host.calls[0].state.tracks, what="a track")
        kept = dict(rita.forwards)
        speaking = asyncio.create_task(rita.speak(voice(1, 4.0)))
        await asyncio.sleep(1)
        await janus.stop_listening()
        await host.until(lambda: not host.is_attached, what="to notice")
        await asyncio.sleep(1)
        await janus.listen()
        await host.until(lambda: host.is_attached, within=40, what="to be attached again")
        await speaking
        await asyncio.sleep(3)
        assert rita.forwards == kept
        (call,) = host.calls
        assert len(call.state.tracks) == 1
        assert find(voice(1, 4.0), host.audio(call, 0))[0] > 0.95
        assert seconds_lost(call) == 0


@virtual
async def test_a_track_ends_when_its_party_leaves_and_nothing_of_it_is_lost(janus):
    rita, _ = await in_room(janus, "Rita", "Marcus")
    async with running(janus) as host:
        await host.until(lambda: len(host.calls[0].state.tracks) == 2, what="tracks")
        await rita.speak(voice(1, 1.05))
        await janus.leave(1, rita)
        await host.until(lambda: not host.calls[0].state.parties[0].here, what="her leaving")
        state = host.calls[0].state
        (track,) = [track for track in state.tracks if track.party == 0]
        assert track.closed == state.parties[0].presences[-1].left
        assert seconds_lost(host.calls[0]) == 0


@virtual
async def test_what_janus_refuses_is_told_once_and_tried_again(janus):
    janus.refuse = {"rtp_forward": 433}
    await in_room(janus, "Rita")
    async with running(janus, poll=2) as host:
        await asyncio.sleep(40)
        assert 4 <= janus.asked["rtp_forward"] <= 6, "ever more seldom"
        janus.refuse = {}
        await host.until(lambda: host.calls[0].state.tracks, within=60, what="a track at last")
        assert [warning.code for warning in host.calls[0].state.warnings] == ["tap-failed"]


@virtual
async def test_a_publisher_who_is_muted_by_janus_keeps_the_track(janus):
    (rita,) = await in_room(janus, "Rita")
    async with running(janus) as host:
        await host.until(lambda: host.calls[0].state.tracks, what="a track")
        rita.deaf = True
        await asyncio.sleep(6)
        rita.deaf = False
        await rita.speak(voice(1, 2.0))
        assert len(host.calls[0].state.tracks) == 1
        assert janus.asked["rtp_forward"] == 1
        assert find(voice(1, 2.0), host.audio(host.calls[0], 0))[0] > 0.95


@virtual
async def test_nothing_heard_from_the_beginning_is_said_once(janus):
    (rita,) = await in_room(janus, "Rita", deaf=True)
    async with running(janus, poll=2) as host:
        await host.until(lambda: host.calls[0].state.warnings, within=20)
        await asyncio.sleep(3)
        assert [warning.code for warning in host.calls[0].state.warnings] == ["no-audio"]
        rita.deaf = False
        await host.until(lambda: host.calls[0].state.tracks, what="a track after all")


@virtual
async def test_one_room_that_we_fail_with_does_not_cost_the_others(janus):
    await in_room(janus, "Rita", room=1)
    await in_room(janus, "Marcus", room=2)
    look = RoomTracker.look

    def wrong(self, which, people, at):
        if which == 1:
            raise KeyError("Rita")
        look(self, which, people, at)

    with pytest.MonkeyPatch.context() as patch, captured_logs() as lines:
        patch.setattr(RoomTracker, "look", wrong)
        async with running(janus) as host:
            await host.until(lambda: host.calls[0].state.tracks, what="a track")
            assert host.is_attached
    assert any("KeyError" in line for line in lines)
    assert not any("Rita" in line for line in lines)


@virtual
async def test_only_the_named_rooms_are_looked_into_and_only_when_they_are_there(janus):
    await in_room(janus, "Rita", room=1)
    await in_room(janus, "Marcus", room=2)
    async with running(janus, rooms=(2, 3)) as host:
        await host.until(lambda: host.calls, what="a call")
        await asyncio.sleep(3)
        assert [call.key.split("/")[0] for call in host.calls] == ["2"]
        assert "listforwarders" in janus.asked
        await in_room(janus, "Pia", room=3)
        await host.until(lambda: len(host.calls) == 2, what="a room that was made later")
        del janus.rooms[3]
        await host.until(lambda: host.calls[1].over, what="the end of a room that was removed")


@virtual
async def test_private_rooms_are_found_with_the_admin_key(janus):
    janus.private = {1}
    await in_room(janus, "Rita")
    async with running(janus, admin_key="") as host:
        await asyncio.sleep(3)
        assert host.calls == []
    async with running(janus) as host:
        await host.until(lambda: host.calls, what="a call")


@virtual
async def test_a_call_that_the_core_ended_is_not_sent_to_us_any_longer(janus):
    await in_room(janus, "Rita")
    async with running(janus) as host:
        await host.until(lambda: host.calls[0].state.tracks, what="a track")
        host.calls[0].end(at=host.now())
        await host.until(lambda: True)
        await asyncio.sleep(1)
        assert janus.forwards() == []
        await asyncio.sleep(5)
        assert len(host.calls) == 1


@virtual
async def test_a_mistake_of_ours_with_one_publisher_is_in_the_record_and_tried_again(janus):
    await in_room(janus, "Rita", "Marcus")
    numbers, mistakes = TapManager.next_ssrc, [ZeroDivisionError]

    def fails(self) -> int:
        if mistakes:
            raise mistakes.pop()
        return numbers(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TapManager, "next_ssrc", fails)
        async with running(janus) as host:
            await host.until(lambda: len(host.calls[0].state.tracks) == 1, what="the other's track")
            assert [warning.code for warning in host.calls[0].state.warnings] == ["tap-failed"]
            await host.until(lambda: len(host.calls[0].state.tracks) == 2, within=60, what="a second try")
            assert {track.party for track in host.calls[0].state.tracks} == {0, 1}


@virtual
async def test_when_somebody_was_heard_last_counts_what_nobody_has_read_yet(janus):
    (rita,) = await in_room(janus, "Rita")
    taps, make = [], TapManager.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TapManager, "open", lambda *given: taps.append(make(*given)) or taps[-1])
        async with running(janus) as host:
            await host.until(lambda: len(host.calls[0].state.tracks) == 1, what="a track")
            patch.setattr(RtpSocket, "work", lambda _: None)
            await rita.speak(voice(1, 2.0))
            assert host.clock.now() - taps[0].heard < SECOND


@virtual
async def test_packets_of_strangers_are_not_taken_and_are_counted(janus):
    (rita,) = await in_room(janus, "Rita")
    async with running(janus) as host:
        await host.until(lambda: len(host.calls[0].state.tracks) == 1, what="a track")
        (forward,) = janus.forwards()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as eve:
            for number in range(3):
                eve.sendto(struct.pack("!BBHII", 0x80, forward.pt, number, 0, forward.ssrc ^ 1), (HOST, forward.port))
            eve.sendto(b"?", (HOST, forward.port))
        await rita.speak(voice(1, 1.05))
        await janus.leave(1, rita)
        await host.until(lambda: host.calls[0].over, what="the end")
        assert len(host.calls[0].state.tracks) == 1
        assert host.drops == {("packet", "foreign"): 3, ("packet", "other"): 1}


@virtual
async def test_a_codec_that_nobody_here_knows_is_counted(janus):
    await in_room(janus, "Rita", codec="isac16")
    async with running(janus) as host:
        await host.until(lambda: host.drops["stream", "codec"] == 1)
        await asyncio.sleep(5)
        assert janus.forwards() == []
        assert host.drops["stream", "codec"] == 1


@virtual
async def test_it_ends_soon_also_when_janus_is_gone(janus):
    await in_room(janus, "Rita")
    async with running(janus) as host:
        await host.until(lambda: host.calls[0].state.tracks, what="a track")
        await janus.stop_listening()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 6
    assert host.attachments[-1] == (False, "stopped")
    assert not host.calls[0].over


@virtual
async def test_a_janus_that_does_not_answer_is_said_and_asked_again(janus):
    janus.silent = {"list"}
    async with running(janus, timeout=1) as host:
        await host.until(lambda: host.attachments, within=20)
        assert "does not answer in time" in host.attachments[-1][1]
        janus.silent = set()
        await host.until(lambda: host.is_attached, within=60)


@virtual
async def test_one_that_is_too_old_or_refuses_us_is_not_attached(janus):
    janus.version = 906
    async with running(janus) as host:
        await host.until(lambda: host.attachments, within=20)
        assert "too old" in host.attachments[-1][1]
    janus.version = 1102
    async with running(janus, api_secret="wrong") as host:
        await host.until(lambda: host.attachments, within=20)
        assert "api_secret" in host.attachments[-1][1]


async def found(janus: FakeJanus, **changes) -> dict[str, tuple[str, str]]:
    adapter = JanusAdapter(JanusConfig(url=janus.url, **{**KEYS, **changes}))
    findings = [finding async for finding in adapter.check()]
    assert all(finding.fix for finding in findings if finding.level != "ok")
    return {finding.what: (finding.level, finding.detail) for finding in findings}


async def test_check_finds_all_in_order_and_changes_nothing():
    async with FakeJanus() as janus:
        (rita,) = await in_room(janus, "Rita", room=1)
        rita.forwards[1] = Forward(1, "127.0.0.1", 9, 1, 0)
        told = await found(janus)
        assert {level for level, _ in told.values()} == {"ok"}
        assert told["version"] == ("ok", "Janus 1.1.0.2")
        assert "keys of room 1" in told
        assert len(rita.forwards) == 1


@pytest.mark.parametrize(
    ("changes", "what", "level"),
    [
        ({"admin_key": "wrong"}, "admin_key", "error"),
        ({"admin_key": ""}, "keys of room 1", "error"),
        ({"secrets": {"*": "wrong"}}, "keys of room 1", "error"),
        ({"secrets": {}}, "keys of room 1", "error"),
        ({"rooms": (1, 77)}, "rooms", "warning"),
        ({"bind": "192.0.2.77"}, "audio from Janus to 192.0.2.77", "error"),
    ],
)
async def test_check_says_which_setting_is_wrong(changes: dict, what: str, level: str):
    async with FakeJanus() as janus:
        janus.rooms[1] = {}
        assert (await found(janus, **changes))[what][0] == level


async def test_check_says_what_is_wrong_with_janus():
    async with FakeJanus() as janus:
        where = f"Janus at {janus.url}"
        janus.version = 906
        assert (await found(janus))["version"][0] == "error"
        assert "api_secret" in (await found(janus, api_secret="wrong"))[where][1]
        janus.plugin = False
        assert "VideoRoom" in (await found(janus))[where][1]
        await janus.stop_listening()
        assert "does not answer" in (await found(janus))[where][1]


async def test_check_warns_of_secrets_on_the_network_and_of_audio_that_goes_nowhere():
    config = JanusConfig(url="ws://192.0.2.77:8188", timeout=0.2, **KEYS)
    told = {finding.what: finding.level async for finding in JanusAdapter(config).check()}
    assert told["secrets on the network"] == "warning"
    assert told["audio from Janus to 127.0.0.1"] == "error"
