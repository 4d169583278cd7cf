"""Recording sessions over a kill of vcond: its dialogs, its ports and its records go on."""

import asyncio
import re
import shutil
import signal
import socket
import ssl
import sys
from pathlib import Path

from daemon_kit import LIMIT, House

from vcond.testing.certificates import certificate
from vcond.testing.needs import needs
from vcond.testing.sounds import voice

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "adapters" / "siprec" / "tests"))
from siprec_client import ALICE, BOB, Client, Leg, metadata  # noqa: E402 - after the path is set

CALLS, SESSIONS = 20, 100


def house(tmp_path: Path) -> tuple[House, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    section = f'[adapters.siprec]\nlisten = ["udp:127.0.0.1:{port}"]\nports = [0, 0]\n'
    return House(tmp_path, extra=section, grace=60), port


def report(document):
    return next(one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report")


async def test_a_session_goes_on_in_the_same_record_when_vcond_was_killed(tmp_path: Path):
    it, port = house(tmp_path)
    client = Client(port, Leg("1"), Leg("2"))
    try:
        async with it.running() as vcond:
            await client.invite(metadata(ALICE, BOB))
            (call,) = await vcond.until("calls", lambda calls: calls and calls[0]["parties"])
            await vcond.ticks(3)
            await vcond.kill()
        async with it.running() as vcond:
            (again,) = await vcond.until("calls", bool)
            assert again["call"] == call["call"]
            await vcond.ticks(3)
            assert (await client.invite()).ports == [leg.to for leg in client.legs]
            assert (await client.bye()).status == 200
            (document,) = await vcond.delivered(1)
    finally:
        await client.close()
    assert [party.get("name") for party in document["parties"][:2]] == ["Alice A", "Bob B"]
    told = report(document)
    (gap,) = told["interruptions"]
    heard = [party["seconds"] for party in told["parties"]]
    assert all(one["received"] + one["silent"] >= 1.0 for one in heard), "audio of both lives"
    assert (gap["reason"], gap["stop"] is None) == ("crash", False)
    assert client.tag not in str(document), "what the adapter needs is no part of the record"


async def test_sighup_takes_a_new_certificate_and_keeps_the_old_one_when_it_is_none(tmp_path: Path):
    cert, key = certificate(tmp_path)
    it, _ = house(tmp_path)
    it.extra += f'certificate = "{cert}"\nkey = "{key}"\n'
    it.extra = it.extra.replace("udp:", "tls:")
    port = int(re.findall(r"tls:127.0.0.1:(\d+)", it.extra)[0])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def shown() -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        return found

    async with it.running() as vcond:
        first = await shown()
        new, new_key = certificate(tmp_path, "new")
        new.rename(cert)  # and not its key
        vcond.signal(signal.SIGHUP)
        await vcond.until("status", lambda _: "configuration not reloaded" in it.log)
        assert await shown() == first
        new_key.rename(key)
        vcond.signal(signal.SIGHUP)
        await vcond.until("status", lambda _: "configuration reloaded" in it.log)
        assert await shown() != first


async def sipp(folder: Path, port: int, scenario: str, *options: str) -> asyncio.subprocess.Process:
    program = shutil.which("sipp")
    needs(program, "sipp is missing: apt-get install sip-tester")
    return await asyncio.create_subprocess_exec(
        program, f"127.0.0.1:{port}", "-i", "127.0.0.1", "-sf", ROOT / "tests/peers/sipp" / scenario, "-nostdin",
        "-timeout", "120", "-t", "u1", *options,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def well(running: asyncio.subprocess.Process) -> int:
    """How many of its calls it says went well, at its end."""
    async with asyncio.timeout(LIMIT):
        out, _ = await running.communicate()
    return int(re.findall(rb"Successful call +\| +\d+ +\| +(\d+)", out)[-1])


async def test_health_checks_at_200_a_second_cost_a_hundred_recordings_nothing(tmp_path: Path):
    it, port = house(tmp_path)
    clients = [Client(port, Leg("1", burst=25)) for _ in range(SESSIONS)]
    words = [voice(number, 3.0) for number in range(SESSIONS)]
    running = None
    try:
        async with it.running() as vcond:
            for number, client in enumerate(clients):
                assert (await client.invite(metadata(ALICE, session=f"ses-{number}"))).status == 200
            # 50 at once at most: on a machine that stands still for seconds the limit of OPTIONS is not what is asked
            running = await sipp(tmp_path, port, "options.xml", "-m", "1000", "-r", "200", "-l", "50")
            await asyncio.gather(*(client.legs[0].speak(said) for client, said in zip(clients, words, strict=True)))
            assert await well(running) == 1000
            for client in clients:
                assert (await client.bye()).status == 200
            documents = await vcond.delivered(SESSIONS)
    finally:
        if running is not None and running.returncode is None:
            running.kill()
            await running.wait()
        for client in clients:
            await client.close()
    for document in documents:
        (party,) = report(document)["parties"]
        assert party["seconds"]["received"] + party["seconds"]["silent"] >= 3.0


async def test_sipp_ends_the_calls_that_it_began_before_the_kill(tmp_path: Path):
    it, port = house(tmp_path)
    running = None
    try:
        async with it.running() as vcond:
            running = await sipp(
                tmp_path, port, "call.xml", "-d", "12000", "-m", str(CALLS), "-r", str(CALLS), "-l", str(CALLS)
            )
            await vcond.until("calls", lambda calls: len(calls) == CALLS)
            await vcond.ticks(3)
            await vcond.kill()
        async with it.running() as vcond:
            assert await well(running) == CALLS
            documents = await vcond.delivered(CALLS)
    finally:
        if running is not None and running.returncode is None:
            running.kill()
            await running.wait()
    assert len({document["uuid"] for document in documents}) == CALLS
    assert all(len(report(document)["interruptions"]) == 1 for document in documents)
