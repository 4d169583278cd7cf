import asyncio
import json
import signal
import stat
import subprocess
from pathlib import Path

import aiohttp
import pytest
from daemon_kit import TOKEN, House


async def test_it_starts_serves_and_stops_in_order(tmp_path: Path):
    house = House(tmp_path)
    async with house.running() as vcond:
        ops = (await vcond.ask("status"))["ops"]
        async with aiohttp.ClientSession(vcond.base) as web:
            for path in ("/livez", "/readyz", "/metrics"):
                async with web.get(ops + path) as answer:
                    assert answer.status == 200, await answer.text()
                async with web.get(path) as answer:
                    assert answer.status == 404
            async with web.get("/twilio/stream") as answer:
                assert answer.status == 403
        assert await house.command("calls", "--json") == (0, "[]\n")
        code, printed = await house.command("check")
        assert code == 1, printed  # only a warning: no https before a loopback address, no engine
        assert "ERROR" not in printed
        await vcond.process.stop()
        assert vcond.process._process.returncode == 0
    assert '"exception"' not in house.log
    assert TOKEN not in house.log


async def test_everything_it_keeps_is_for_its_user_only(tmp_path: Path):
    house = House(tmp_path)
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(0.5)
        files = [*house.state.rglob("*"), house.state]
        assert len(files) > 5
        open_to_others = [str(file) for file in files if stat.S_IMODE(file.lstat().st_mode) & 0o077]
        assert open_to_others == []
        assert stat.S_IMODE((house.run_dir / "admin").stat().st_mode) == 0o660, "commands are for the group, too"


async def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path):
    house = House(tmp_path)
    async with house.running():
        code, printed = await house.command("run")
        assert code == 2
        assert "vcond:" in printed
        assert "Traceback" not in printed
        code, printed = await house.command("recover")
        assert code == 2


async def test_a_port_in_use_is_said_in_one_line(tmp_path: Path):
    house, second = House(tmp_path / "one"), House(tmp_path / "two")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with house.running() as vcond:
        second.write()
        text = second.config.read_text()
        second.config.write_text(text.replace("127.0.0.1:0", vcond.base.removeprefix("http://")))
        code, printed = await second.command("run")
    assert code == 2
    assert "web.listen: cannot listen" in printed.splitlines()[-1]
    assert "Traceback" not in printed


async def test_a_reload_is_all_or_nothing(tmp_path: Path):
    house = House(tmp_path)
    async with house.running() as vcond:
        good = house.config.read_text()
        house.config.write_text(good.replace('listen = "127.0.0.1:0"', 'lissten = "x"'))
        vcond.signal(signal.SIGHUP)
        house.config.write_text(good)
        await vcond.until("status", lambda _: "did you mean 'listen'" in house.log or "reloaded" in house.log)
        house.config.write_text(good.replace('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:1"', 1))
        vcond.signal(signal.SIGHUP)
        await vcond.until("status", lambda _: '"needs_restart": ["web"]' in house.log)
        assert (await vcond.ask("status"))["listen"] == vcond.base


async def test_bad_configuration_is_said_in_one_line(tmp_path: Path):
    house = House(tmp_path)
    house.write()
    house.config.write_text("[vcond]\nstate_dirr = 1\n")
    code, printed = await house.command("run")
    assert (code, printed.count("\n")) == (2, 1)
    assert "vcond.state_dirr: unknown key, did you mean 'state_dir'" in printed
    assert (await house.command("check"))[0] == 2


async def test_a_call_is_seen_while_it_goes_on_and_shown_after(tmp_path: Path):
    house, loop = House(tmp_path), asyncio.get_running_loop()
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(1)
        (row,) = await vcond.ask("calls")
        assert [party["name"] for party in row["parties"]] == ["Rita", "Marcus"]
        assert (await house.command("show", row["call"][:13]))[0] == 0
        asked = loop.time()
        await vcond.ask("pause", "POST", call=row["call"], reason="card")
        since = loop.time()
        await stream.play(1)
        until = loop.time()
        assert (await vcond.ask("resume", "POST", call=row["call"]))["paused"] is False
        resumed = loop.time()
        await stream.play(1)
        await stream.stop()
        (document,) = await vcond.delivered(1)
        file = house.vcons / f"{row['call']}.vcon.json"
    assert document["uuid"] == row["call"]
    report = next(a["body"] for a in document["attachments"] if a.get("purpose") == "vcond-capture-report")
    paused = [party["seconds"]["paused"] for party in report["parties"][:2]]
    assert all(until - since - 0.05 <= seconds <= resumed - asked + 0.05 for seconds in paused), report
    code, printed = await house.command("show", str(file))
    assert code == 0
    assert "Rita" in printed
    code, printed = await house.command("validate", str(file), "--json")
    assert (code, json.loads(printed)[0]["valid"]) == (0, True)
    assert not list((house.state / "journal").glob("*-*")), "a delivered call's journal is removed"


async def test_validate_prints_every_finding_with_its_path(tmp_path: Path):
    file = tmp_path / "bad.vcon"
    file.write_text('{"vcon": "0.4.0", "dialog": [{"type": "recording", "parties": [7]}]}')
    house = House(tmp_path)
    code, printed = await house.command("validate", str(file))
    assert code == 1
    assert "$.uuid" in printed
    assert "$.dialog[0].parties" in printed
    code, printed = await house.command("validate", str(tmp_path / "none"))
    assert code == 2


async def test_sigterm_lets_a_call_that_goes_on_be_finished_by_the_next_start(tmp_path: Path):
    house, loop = House(tmp_path), asyncio.get_running_loop()
    async with house.running() as vcond:
        began = loop.time()
        async with vcond.stream() as stream:
            await stream.play(1)
            await vcond.ticks(1)
            stopping = asyncio.create_task(vcond.process.stop())
            await stream.play(0.5)
            await stopping
        lasted = loop.time() - began
    async with house.running() as vcond:
        (document,) = await vcond.delivered(1)
    report = next(a["body"] for a in document["attachments"] if a.get("purpose") == "vcond-capture-report")
    assert [window["reason"] for window in report["interruptions"]] == ["stop"]
    assert 1.0 <= document["dialog"][0]["duration"] <= lasted


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Made by itself, with ``key.pem`` beside it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=edge.example.com",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path / "cert.pem"


async def test_each_sink_gets_its_form(tmp_path: Path, certificate: Path):
    """One folder as it is, one signed, one encrypted; the signed ones verify with the command that an archive uses."""
    forms = ("plain", "signed", "encrypted")
    sinks = "".join(
        f'[[sinks]]\ntype = "folder"\nname = "{form}"\npath = "{tmp_path}/{form}"\nform = "{form}"\n' for form in forms
    )
    seal = f'[seal]\nkey = "{tmp_path}/key.pem"\ncertificates = "{tmp_path}/cert.pem"\n'
    house = House(tmp_path, sinks=sinks, extra=f'{seal}recipients = ["{tmp_path}/cert.pem"]\n')
    async with house.running() as vcond, vcond.stream() as stream:
        await stream.play(0.5)
        await stream.stop()
        await vcond.until("status", lambda _: all(list((tmp_path / form).glob("*.vcon.json")) for form in forms))
        await vcond.until("outbox", lambda rows: not rows)
    (plain,), (signed,), (encrypted,) = ([*(tmp_path / form).glob("*.vcon.json")] for form in forms)
    code, printed = await house.command(
        "verify", str(signed), "--trust", str(certificate), "--out", str(tmp_path / "inside")
    )
    assert code == 0, printed
    assert (tmp_path / "inside").read_bytes() == plain.read_bytes()
    opened = str(tmp_path / "opened")
    code, printed = await house.command("decrypt", str(encrypted), "--key", str(tmp_path / "key.pem"), "--out", opened)
    assert code == 0, printed
    code, printed = await house.command("verify", opened, "--trust", str(tmp_path / "cert.pem"))
    assert code == 0, printed
    assert not list((house.state / "forms").iterdir())
