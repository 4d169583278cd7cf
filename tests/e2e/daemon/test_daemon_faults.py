import json
from pathlib import Path

from daemon_kit import House, fill
from fake_conserver import FakeConserver, Status


def report(document: dict) -> dict:
    return next(a["body"] for a in document["attachments"] if a.get("purpose") == "vcond-capture-report")


async def test_kill_9_in_a_call_loses_no_call(tmp_path: Path):
    house = House(tmp_path)
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(2)
        await vcond.ticks(3)
        (row,) = await vcond.ask("calls")
        await vcond.kill()
    async with house.running() as vcond:
        (document,) = await vcond.delivered(1)
    assert document["uuid"] == row["call"]
    (window,) = report(document)["interruptions"]
    assert window["reason"] == "crash"
    received = [party["seconds"]["received"] + party["seconds"]["silent"] for party in report(document)["parties"][:2]]
    assert all(1.9 <= seconds <= 2.1 for seconds in received), report(document)


async def test_kill_9_at_any_moment_of_finishing_loses_no_call(tmp_path: Path):
    """Killed as soon as the call has ended, again and again: whatever was under way is done at the next start."""
    house = House(tmp_path)
    for round_ in range(4):
        async with house.running() as vcond, vcond.stream() as stream:
            await stream.play(0.3)
            await stream.stop()
            if round_ % 2:
                await vcond.until("status", lambda status: status["calls"] == 0)
            await vcond.kill()
    async with house.running() as vcond:
        documents = await vcond.delivered(4)
    assert len({document["uuid"] for document in documents}) == 4


async def test_a_call_goes_on_in_the_same_vcon_after_a_restart(tmp_path: Path):
    """Twilio does not reconnect by itself; an application may open a new stream for the same call."""
    house = House(tmp_path, grace=30)
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(1)
        await vcond.kill()
        sids = stream.sids
    async with house.running() as vcond, vcond.stream(sids) as stream:
        await stream.play(1)
        await stream.stop()
        (document,) = await vcond.delivered(1)
    (window,) = report(document)["interruptions"]
    assert window["stop"] is not None
    assert [party.get("name") for party in document["parties"][:2]] == ["Rita", "Marcus"]


async def test_a_conserver_that_is_down_gets_the_vcon_later_under_the_same_uuid(tmp_path: Path):
    async with FakeConserver(ingress_auth={"vcond_in": "key"}) as conserver:
        port = int(conserver.url.rpartition(":")[2].partition("/")[0])
        house = House(
            tmp_path,
            sinks=f'[[sinks]]\ntype = "conserver"\nurl = "{conserver.url}"\ningress_lists = ["vcond_in"]\ntoken = "key"\n',
        )
        await conserver.down()
        async with house.running() as vcond, vcond.stream() as stream:
            await stream.play(0.5)
            await stream.stop()
            (row,) = await vcond.until("outbox", lambda rows: rows and rows[0]["attempts"])
            code, printed = await house.command("outbox")
            assert code == 0
            assert row["uuid"] in printed
            await vcond.kill()
        await conserver.up(port)
        async with house.running() as vcond:
            await vcond.until("outbox", lambda rows: not rows)
        assert list(conserver.bodies()) == [row["uuid"]]


async def test_a_refused_vcon_is_a_dead_letter_that_says_why_until_it_is_sent_again(tmp_path: Path):
    async with FakeConserver(ingress_auth={"vcond_in": "key"}) as conserver:
        house = House(
            tmp_path,
            sinks=f'[[sinks]]\ntype = "conserver"\nurl = "{conserver.url}"\ningress_lists = ["vcond_in"]\ntoken = "key"\n',
        )
        about_it = {"type": "uuid_parsing", "loc": ["body", "uuid"], "msg": "no such thing", "input": ""}
        conserver.next(Status(422, json.dumps({"detail": [about_it]}).encode(), {"Content-Type": "application/json"}))
        async with house.running() as vcond, vcond.stream() as stream:
            await stream.play(0.5)
            await stream.stop()
            (row,) = await vcond.until("outbox", lambda rows: rows and rows[0]["state"] == "dead")
            assert "no such thing" in row["answer"]
            code, printed = await house.command("outbox", "retry")
            assert (code, printed) == (0, "1 to be sent again\n")
            await vcond.until("outbox", lambda rows: not rows)
        assert list(conserver.bodies()) == [row["uuid"]]


async def test_a_full_disk_loses_audio_and_says_so_and_no_call(tmp_path: Path, small_disk: Path):
    house = House(tmp_path)
    house.root = tmp_path / "house"
    house.root.mkdir()
    (house.root / "state").symlink_to(small_disk)
    async with house.running() as vcond, vcond.stream() as stream:
        filler = fill(small_disk)
        await stream.play(5)
        await vcond.until("status", lambda status: "journal" in status["ready"])
        filler.unlink()
        await stream.play(1)
        await vcond.until("status", lambda status: "journal" not in status["ready"])
        await stream.stop()
        (document,) = await vcond.delivered(1)
    assert sum(party["seconds"]["lost"] for party in report(document)["parties"][:2]) > 0.5
    assert "vcond_gap:true" in next(a["body"] for a in document["attachments"] if a.get("purpose") == "tags")


async def test_recover_finishes_what_a_crash_left_without_any_daemon(tmp_path: Path):
    house = House(tmp_path)
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(1)
        await vcond.kill()
    code, printed = await house.command("recover")
    assert code == 0, printed
    assert len(house.documents()) == 1


async def test_replay_makes_the_same_vcon_from_the_journal(tmp_path: Path):
    async with FakeConserver(ingress_auth={"vcond_in": "key"}) as conserver:
        await conserver.down()
        house = House(
            tmp_path,
            sinks=f'[[sinks]]\ntype = "conserver"\nurl = "{conserver.url}"\ningress_lists = ["vcond_in"]\n'
            f'token = "key"\n[[sinks]]\ntype = "folder"\npath = "{tmp_path}/vcons"\n',
        )
        async with house.running() as vcond, vcond.stream() as stream:
            await stream.play(0.5)
            await stream.stop()
            (document,) = await vcond.delivered(1)
    (journal,) = (house.state / "journal").glob("*-*")
    code, printed = await house.command("replay", str(journal), "--out", str(tmp_path / "again.vcon"))
    assert code == 0, printed
    assert (tmp_path / "again.vcon").read_bytes() == (house.vcons / f"{document['uuid']}.vcon.json").read_bytes()
