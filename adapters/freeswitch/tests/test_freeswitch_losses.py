"""Taps that are lost while their leg lives are made again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fslab import Lab, lab

from vcond.testing.sounds import voice
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Conversation

ANN, BEN = voice(1, 1.5), voice(2, 1.5)


def stop_all(it, channel) -> None:
    """``stop_record_session all``, as scripts for card numbers say."""
    it.switch._record(channel, ["stop", "all"])


def removed(it, channel) -> None:
    it.switch._unbug(channel, channel.bugs[0], tell=False)


def stalled(it, channel) -> None:
    channel.bugs[0].stalled = True


@pytest.mark.parametrize("loss", [stop_all, removed, stalled])
def test_a_tap_that_is_lost_is_made_again_while_its_leg_lives(loss):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            lost = one.bugs[0]
            loss(it, one)
            await it.until(lambda: one.bugs and one.bugs[0] is not lost, within=10)
            later = voice(3, 1.5)
            await it.speak((one, later), (two, voice(4, 1.5)))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 0, later) > 0.95
            assert it.warnings(call) == ["audio-stopped"]
            assert it.host.drops["tap", "again" if loss is stop_all else "stopped"] == 1
        assert not list(it.switch.directory.iterdir())

    lab(main)


def test_a_tap_that_was_removed_while_the_event_socket_was_away_is_made_again():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(10)
            await it.switch.refuse()
            it.switch._unbug(one, one.bugs[0])
            await it.switch.start()
            await it.listened(one)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main)


def test_a_switch_that_does_not_say_which_taps_there_are_costs_no_good_one():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(10)
            run = it.switch._run
            it.switch._run = lambda line: "-ERR busy\n" if "buglist" in line else run(line)
            before = [line for line in it.switch.commands if " start " in line]
            await it.switch.refuse()
            await it.switch.start()
            await it.host.until(lambda: it.host.is_attached)
            await it.speak((one, ANN), (two, BEN))
            assert [line for line in it.switch.commands if " start " in line] == before
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main)


def test_a_leg_that_the_switch_does_not_find_at_first_is_tapped_when_it_does():
    async def main(it: Lab) -> None:
        run = it.switch._run
        it.switch._run = lambda line: "-ERR No such channel!\n" if " start " in line else run(line)
        async with it.attached():
            one, two = it.switch.call()
            await asyncio.sleep(10)
            assert it.host.drops["tap", "refused"]
            it.switch._run = run
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert "tap-failed" in {warning.code for warning in call.state.warnings}

    lab(main)


def test_a_tap_that_never_works_is_tried_less_and_less_often():
    async def main(it: Lab) -> None:
        it.switch.deaf_taps = True
        async with it.attached():
            one, two = it.switch.call()
            await asyncio.sleep(45)
            starts = sum(" start " in line for line in it.switch.commands)
            assert 10 <= starts <= 14, "two legs, each further start waits twice as long"
            assert it.host.drops["tap", "no-audio"] == 2
            it.switch.deaf_taps = False
            await asyncio.sleep(20)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main)


def test_a_party_that_holds_or_waits_in_a_queue_that_pauses_taps_is_not_missed():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(1)
            it.switch.hold(one, on=True)
            waiting = it.switch.create(number="1005")
            waiting.app = "fifo"
            it.switch.answer(waiting)
            await it.listened(waiting)
            waiting.bugs[0].stalled = True
            await asyncio.sleep(12)
            it.switch.hold(one, on=False)
            await asyncio.sleep(4)
            assert it.host.drops.total() == 0
            assert sum(" start " in line for line in it.switch.commands) == 3

    lab(main)


def test_a_full_file_system_that_has_space_again():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(1)
            it.switch.full = True
            await asyncio.sleep(5)
            it.switch.full = False
            await asyncio.sleep(8)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.warnings(call).count("audio-stopped") == 2

    lab(main)


def test_a_refusal_is_told_at_once_and_once_a_minute(capsys):
    async def main(it: Lab) -> None:
        it.switch.refuse_starts = True
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: it.warnings().count("tap-failed") == 2, within=1)
            await asyncio.sleep(6)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.warnings(call).count("tap-failed") == 2
            assert it.host.drops["tap", "refused"] >= 6

    lab(main)
    assert capsys.readouterr().out.count("cannot tap channel audio") == 1


def test_a_file_that_cannot_be_removed_is_told_emptied_and_tried_again(capsys, monkeypatch):
    async def main(it: Lab) -> None:
        real = Path.unlink

        def refused(path, **more):
            raise PermissionError(13, "Permission denied")

        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            monkeypatch.setattr(Path, "unlink", refused)
            it.switch.end(one, two)
            await it.over(one.uuid)
            await asyncio.sleep(0.5)
            files = list(it.switch.directory.iterdir())
            assert len(files) == 2
            assert not any(file.stat().st_size for file in files)
            assert it.host.drops["file", "not-removed"] == 2
            monkeypatch.setattr(Path, "unlink", real)
            await asyncio.sleep(62)
            assert not list(it.switch.directory.iterdir())

    lab(main)
    assert "cannot delete audio files that were read" in capsys.readouterr().out


def test_a_stray_tap_of_a_leg_that_is_gone_is_taken_off_the_leg_it_was_moved_to():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            moved = two.bugs.pop()  # recording_follow_transfer: before its leg's last event, after it nobody knows it
            it.switch.hang_up(two)
            await asyncio.sleep(0.3)
            one.bugs.append(moved)
            told = {"Media-Bug-Function": "session_record", "Media-Bug-Target": moved.target}
            it.switch.tell("MEDIA_BUG_START", one, **told)
            await it.until(lambda: moved not in one.bugs, within=2)
            assert len(one.bugs) == 1

    lab(main)


@pytest.mark.parametrize("uuid", ["a:b:c", "a..b", "x@y=z+1"])
def test_channels_with_ids_of_other_forms_are_tapped(uuid):
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create(uuid=uuid)
            it.switch.answer(one)
            await it.listened(one)
            await it.speak((one, ANN))
            it.switch.hang_up(one)
            assert it.heard(await it.over(uuid), 0, ANN) > 0.95
        assert not list(it.switch.directory.iterdir())

    lab(main)


def test_a_mistake_with_one_call_ends_nothing_else(monkeypatch):
    async def main(it: Lab) -> None:
        async with it.attached():
            bad, _ = it.switch.call(number="1011", destination="1012")
            one, two = it.switch.call()
            await it.listened(one, two)

            def wrong(conversation, at):
                if conversation.key == bad.uuid:
                    raise ZeroDivisionError

            monkeypatch.setattr(Conversation, "look", wrong)
            await asyncio.sleep(2.5)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95
            assert it.host.drops.pop(("event", "mistake")) >= 2

    lab(main)


def test_a_mistake_while_one_tap_is_started_costs_no_other_and_it_is_started_again(monkeypatch):
    async def main(it: Lab) -> None:
        async with it.attached():
            right, failed = commands.record_start, []

            def wrong(uuid, *rest, **more):
                if len(failed) < 2:
                    failed.append(uuid)
                    raise ZeroDivisionError
                return right(uuid, *rest, **more)

            monkeypatch.setattr(commands, "record_start", wrong)
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95
            assert it.host.drops.pop(("event", "mistake")) == 2

    lab(main)
