"""The connection, against recorded sessions of a real FreeSWITCH and against what none was recorded for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from fskit import lines, raw, recut

from vcond.sdk.contract import ConfigError, RefusedError, UnreachableError
from vcond.testing.time import LoopClock, run_virtual, until
from vcond_freeswitch import client as module
from vcond_freeswitch.client import NoSuchChannelError, connected
from vcond_freeswitch.config import Config


@asynccontextmanager
async def serving(answer):
    """A server on a free port; ``answer(reader, writer)`` serves each connection."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def recorded(name: str, chunk: int = 0):
    """Serve what FreeSWITCH sent, each part once the client has sent as many commands as the recorded one had."""
    sent, commands = raw(f"{name}.s2c.bin"), raw(f"{name}.c2s.bin")
    steps, need = [], 0
    for line in lines(f"{name}.timing.jsonl"):
        if line["dir"] == "c2s":
            need = commands[: line["off"] + line["len"]].replace(b"\r", b"").count(b"\n\n")
        else:
            steps.append((need, sent[line["off"] : line["off"] + line["len"]]))

    async def answer(reader, writer):
        got = 0
        for need, data in steps:
            while got < need:
                await reader.readuntil(b"\n\n")
                got += 1
            for part in recut(data, chunk or len(data)):
                writer.write(part)
                await writer.drain()
        await reader.read()

    return answer


def run(main, *, answer, **config):
    async def inside():
        async with serving(answer) as port, asyncio.timeout(600):
            return await main(Config(port=port, **config).checked())

    return run_virtual(inside())


async def greeted(reader, writer, replies: bytes = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"):
    writer.write(b"Content-Type: auth/request\n\n")
    await reader.readuntil(b"\n\n")
    writer.write(replies)


async def log_in(config):
    async with connected(config, LoopClock()) as connection:
        return connection.allowed_events


# Logging in, and refusals.


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_the_password_is_accepted(chunk):
    assert run(log_in, answer=recorded("proto_auth_ok_exit", chunk)) is None


def test_a_wrong_password_is_explained():
    with pytest.raises(ConfigError, match=r"password in event_socket\.conf\.xml"):
        run(log_in, answer=recorded("proto_auth_bad"), password="wrong")


def test_a_wrong_user_is_explained():
    with pytest.raises(ConfigError, match="esl-password in the directory"):
        run(log_in, answer=recorded("proto_auth_bad"), user="vcond@127.0.0.1", password="wrong")


def test_an_address_that_is_not_in_the_access_list_is_explained():
    async def rude(reader, writer):
        writer.write(b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n")

    with pytest.raises(ConfigError, match="apply-inbound-acl"):
        run(log_in, answer=rude)


def test_the_rights_of_a_user_are_read():
    allowed = run(log_in, answer=recorded("proto_userauth"), user="vcond@127.0.0.1", password="secret")
    assert "CHANNEL_CREATE" in allowed
    assert "CHANNEL_HOLD" not in allowed


def test_events_that_a_user_may_not_have_are_named():
    async def main(config):
        async with connected(config, LoopClock()) as connection:
            await connection.subscribe()

    with pytest.raises(ConfigError, match="BACKGROUND_JOB RECORD_STOP: add them to its esl-allowed-events"):
        run(main, answer=recorded("proto_userauth"), user="vcond@127.0.0.1", password="secret")


def test_commands_that_a_user_may_not_run_are_named():
    async def denied(reader, writer):
        await greeted(reader, writer)
        await reader.readuntil(b"\n\n")
        writer.write(b"Content-Type: command/reply\nReply-Text: -ERR permission denied\n\n")
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            await connection.api("uuid_dump x")

    with pytest.raises(RefusedError, match="uuid_dump: not permitted"):
        run(main, answer=denied)


def test_a_port_that_says_nothing_is_no_event_socket():
    async def silent(reader, writer):
        await reader.read()

    with pytest.raises(UnreachableError, match="not an event socket"):
        run(log_in, answer=silent)


def test_nobody_there():
    async def main():
        await log_in(Config(port=1))

    with pytest.raises(UnreachableError, match="ConnectionRefusedError"):
        run_virtual(main())


# Commands and their answers.


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_answers_come_in_the_order_of_the_commands(chunk):
    asked = raw("proto_pipelined.c2s.bin").decode().split("\n\n")[1:-1]  # without auth
    sent = raw("proto_pipelined.s2c.bin")
    rest = sent[sent.index(b"+OK accepted\n\n") + len(b"+OK accepted\n\n") :]

    async def in_one_packet(reader, writer):
        await greeted(reader, writer)
        for _ in asked:
            await reader.readuntil(b"\n\n")
        for part in recut(rest, chunk or len(rest)):
            writer.write(part)
            await writer.drain()
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            return await asyncio.gather(*(connection.command(line) for line in asked))

    frames = run(main, answer=in_one_packet)
    assert [frame.kind for frame in frames] == [
        "api/response" if line.startswith("api") else "command/reply" for line in asked
    ]


def test_an_answer_that_nobody_waits_for_keeps_its_place():
    async def slow(reader, writer):
        await greeted(reader, writer)
        for _ in range(2):
            await reader.readuntil(b"\n\n")
        writer.write(
            b"Content-Type: api/response\nContent-Length: 3\n\noneContent-Type: api/response\nContent-Length: 3\n\ntwo"
        )
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            first = asyncio.create_task(connection.api("status one"))
            await asyncio.sleep(0)
            first.cancel()
            return await connection.api("status two")

    assert run(main, answer=slow) == "two"


def test_an_unknown_channel_has_an_error_of_its_own():
    async def gone(reader, writer):
        await greeted(reader, writer)
        await reader.readuntil(b"\n\n")
        writer.write(b"Content-Type: api/response\nContent-Length: 22\n\n-ERR No such channel!\n")
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            await connection.api("uuid_dump x")

    with pytest.raises(NoSuchChannelError):
        run(main, answer=gone)


def test_a_background_job_brings_its_own_answer():
    async def later(reader, writer):
        await greeted(reader, writer)
        command = (await reader.readuntil(b"\n\n")).decode()
        job = command.split("Job-UUID: ")[1].strip()
        body = '{"Event-Name":"BACKGROUND_JOB","Job-UUID":"%s","_body":"+OK Success\\n"}'
        for one in ("another", job):
            told = body % one
            writer.write(f"Content-Length: {len(told)}\nContent-Type: text/event-json\n\n{told}".encode())
        writer.write(f"Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n".encode())
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            return await connection.background("uuid_buglist x")

    assert run(main, answer=later) == "+OK Success\n"


def test_a_job_that_never_ends_is_given_up_and_other_answers_come():
    async def hung(reader, writer):
        await greeted(reader, writer)
        await reader.readuntil(b"\n\n")
        writer.write(b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: x\nJob-UUID: x\n\n")
        await reader.readuntil(b"\n\n")
        writer.write(b"Content-Type: api/response\nContent-Length: 2\n\nup")
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            job = asyncio.create_task(connection.background("uuid_record x"))
            await asyncio.sleep(1)
            assert await connection.api("status") == "up"
            with pytest.raises(UnreachableError, match="did not end in time"):
                await job

    run(main, answer=hung)


def test_no_answer_in_time_is_an_error():
    async def mute(reader, writer):
        await greeted(reader, writer)
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            await connection.api("status")

    with pytest.raises(UnreachableError, match="in time"):
        run(main, answer=mute)


# Events, and the end.


def event(name: str) -> bytes:
    body = f'{{"Event-Name":"{name}"}}'
    return f"Content-Length: {len(body)}\nContent-Type: text/event-json\n\n{body}".encode()


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (b"", "closed the connection$"),
        (b"Content-Length: 500\nContent-Type: text/event-json\n\n{", "in the middle of a message"),
        (b"Content-Le", "in the middle of a message"),
        (b"no header\n\n", "without a colon"),
        (b"Content-Type: command/reply\nReply-Text: +OK\n\n", "an answer without a command"),
    ],
)
def test_the_end_of_a_connection_is_told_after_the_events_before_it(last, said):
    async def short(reader, writer):
        await greeted(reader, writer)
        writer.write(event("DTMF") + last)
        await writer.drain()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            assert (await connection.next())[0].name == "DTMF"
            await connection.next()

    with pytest.raises(Exception, match=said):
        run(main, answer=short)


def test_events_that_make_no_sense_are_counted():
    async def odd(reader, writer):
        await greeted(reader, writer)
        writer.write(b"Content-Length: 1\nContent-Type: text/event-json\n\n{" + event("DTMF"))
        await reader.read()

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            await connection.next()
            return connection.odd

    assert run(main, answer=odd) == 1


def test_what_arrives_is_read_also_when_nobody_takes_events_and_too_much_is_a_fresh_start():
    written = 0

    async def flood(reader, writer):
        nonlocal written
        await greeted(reader, writer)
        burst = event("DTMF") * 1000
        while True:
            writer.write(burst)
            await writer.drain()
            written += 1000

    async def main(config):
        async with connected(config, LoopClock()) as connection:
            await until(lambda: connection._over is not None, every=1)
            for _ in range(module.WAITING):
                await connection.next()
            await connection.next()

    with pytest.raises(UnreachableError, match="too many events at once"):
        run(main, answer=flood)
    assert written >= module.WAITING
