"""The operator's commands on a daemon that runs: what they print, and their exit codes."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, web
from daemon_kit import House


@asynccontextmanager
async def refusing():
    """A conserver that takes no vCon, by its own word."""

    async def refuse(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"detail": [{"loc": ["body", "uuid"], "msg": "no"}]}, status=422)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/{tail:.*}", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_call_and_its_dead_letter_by_the_commands_alone(tmp_path: Path):
    house = House(tmp_path)
    async with refusing() as url:
        folder = f'[[sinks]]\ntype = "folder"\npath = "{house.vcons}"\n'
        house.sinks = f'{folder}[[sinks]]\ntype = "conserver"\nurl = "{url}"\ntoken = "t"\ningress_lists = ["x"]\n'
        async with house.running() as vcond:
            async with vcond.stream() as stream:
                await stream.play(0.5)
                (row,) = await vcond.ask("calls")
                code, printed = await house.command("status")
                assert (code, "vcond " in printed, "1 calls" in printed) == (0, True, True), printed
                assert "adapter twilio       attached" in printed
                async with vcond.admin.get("http://vcond/v1/live", params={"call": row["call"][:13]}) as live:
                    await stream.stop()
                    lines = [json.loads(line) async for line in live.content]
                assert {line["call"] for line in lines} == {row["call"]}, "of this call, and over with it"
            (document,) = await vcond.delivered(1)
            uuid = document["uuid"]
            await vcond.until("dead", lambda found: len(found) == 1)
            code, printed = await house.command("outbox", "dead")
            assert (code, uuid in printed, "refused:422" in printed) == (1, True, True), printed
            assert (await house.command("status"))[0] == 1
            code, printed = await house.command("outbox", "show", uuid[:18])
            assert (code, "sink conserver: dead refused:422" in printed) == (0, True), printed
            code, printed = await house.command("outbox", "discard", uuid)
            assert (code, "has it: folder" in printed, "nothing was discarded" in printed) == (1, True, True), printed
            code, printed = await house.command("outbox", "discard", uuid, "--yes")
            assert (code, "conserver will not get it" in printed) == (0, True), printed
            assert '"dead letter discarded by the operator' in house.log
            assert await house.command("outbox", "dead") == (0, "no dead letters\n")
            code, printed = await house.command("outbox", "show", uuid, "--json")
            sinks = json.loads(printed)["sinks"]
            assert [(one["sink"], one["reason"]) for one in sinks if one["state"] == "dead"] == [
                ("conserver", "discarded")
            ]
            for words in (("outbox", "discard", uuid, "--yes"), ("outbox", "show", "ffff"), ("watch", "ffff")):
                assert (await house.command(*words))[0] == 2
    for words in (("status",), ("calls", "--live"), ("outbox", "dead")):
        code, printed = await house.command(*words)
        assert (code, printed.count("\n")) == (2, 1), printed


async def test_each_sink_gets_the_calls_of_its_match_and_what_none_takes_is_sent_by_hand(tmp_path: Path):
    house = House(tmp_path)
    other = tmp_path / "other"
    match = 'match = { attributes = { queue = "nobody-has-it" } }\n'
    house.sinks = f'[[sinks]]\ntype = "folder"\nname = "other"\npath = "{other}"\n{match}'
    async with house.running() as vcond:
        async with vcond.stream() as stream:
            await stream.play(0.5)
            await stream.stop()
        await vcond.until("outbox", lambda found: [one["state"] for one in found] == ["unmatched"])
        (row,) = await vcond.ask("outbox")
        assert "\"no sink's match takes this vCon" in house.log
        assert await house.command("outbox", "dead") == (0, "no dead letters\n")
        code, printed = await house.command("outbox", "show", row["uuid"])
        assert (code, "sink other: unmatched" in printed) == (0, True), printed
        code, printed = await house.command("status")
        assert (code, "1 that the match of no sink takes" in printed) == (1, True), printed
        code, printed = await house.command("outbox", "discard", "--unmatched")
        assert (code, "no sink takes: 1\n" in printed, "nothing was discarded" in printed) == (1, True, True), printed
        for words in (
            ("discard",),
            ("discard", row["uuid"], "--unmatched"),
            ("retry", "--unmatched"),
            ("retry", row["uuid"], "--unmatched", "--sink", "other"),
        ):
            assert (await house.command("outbox", *words))[0] == 2
    house.sinks += f'[[sinks]]\ntype = "folder"\npath = "{house.vcons}"\nmatch = {{ adapter = "twilio" }}\n'
    async with house.running() as vcond:
        async with vcond.stream() as stream:
            await stream.play(0.5)
            await stream.stop()
        (document,) = await vcond.delivered(1)
        assert document["uuid"] != row["uuid"], "which no sink was for when it was made"
        code, printed = await house.command("outbox", "retry", "--unmatched", "--sink", "other")
        assert (code, printed) == (0, "1 to be sent again\n")
        await vcond.until("outbox", lambda found: found == [])
        assert [path.name for path in other.iterdir()] == [f"{row['uuid']}.vcon.json"]
        code, printed = await house.command("outbox", "discard", "--unmatched", "--yes")
        assert (code, printed) == (0, "vCons that the match of no sink takes: 0\n")


async def test_consent_and_a_pause_by_the_commands_and_on_every_screen(tmp_path: Path):
    house = House(tmp_path, extra='[[policy]]\nmode = "ask"\nuntil_granted = "buffer"\n')
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(0.5)
        (row,) = await vcond.ask("calls")
        call = row["call"]
        for words, told in (
            (("9", "granted"), "no party '9'; its parties: 0"),
            (("0", "perhaps"), "state must be one of asked, granted, denied, withdrawn"),
            (("0", "granted", "--how", "telepathy"), "how must be one of"),
            (("0", "granted", "--purpose", "marketing"), "purposes must be one of"),
        ):
            code, printed = await house.command("consent", call, *words)
            assert (code, told in printed, printed.count("\n")) == (2, True, 1), printed
        assert {one["recording"] for one in (await vcond.ask("calls"))[0]["consent"]} == {"unknown"}
        async with vcond.admin.get("http://vcond/v1/live", params={"call": call}) as live:
            said = ("consent", call, "0", "granted", "--evidence", "letter=of May")
            code, printed = await house.command(*said)
            assert (code, "granted (recording, transcription)" in printed, "nothing was" in printed) == (0, True, False)
            code, printed = await house.command(*said)
            assert (code, "nothing was changed: that was known" in printed) == (0, True), printed
            code, printed = await house.command("pause", call, "--for", "90", "--reason", "card")
            assert (code, "paused by operator" in printed) == (0, True), printed
            lines: list[str] = []
            while "paused" not in lines:
                lines.append(json.loads(await live.content.readline()).get("text", ""))
            assert lines.count("consent-granted") == 1
        code, printed = await house.command("calls")
        assert (code, " PAUSED" in printed, "NO CONSENT of party 1" in printed) == (0, True, True), printed
        code, printed = await house.command("show", call)
        assert (code, "  paused by operator\n" in printed, "; not recorded" in printed) == (0, True, True), printed
        ops = (await vcond.ask("status"))["ops"]
        async with ClientSession() as reading, reading.get(f"{ops}/metrics") as answer:
            told = await answer.text()
        assert 'vcond_consents_total{adapter="twilio",how="operator",state="granted"} 1.0' in told
        assert 'vcond_pauses_total{adapter="twilio",by="operator"} 1.0' in told
        await stream.stop()
