"""sipp, a SIP client that was written by others, against the server: calls with and without loss, and health checks.

What is judged is what sipp says of itself, and that server and sipp agree on how each call ended.
"""

import asyncio
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from vcond.sip.application import Answer, End
from vcond.sip.server import SipServer
from vcond.sip.settings import Settings
from vcond.testing.needs import needs
from vcond.testing.time import LoopClock

HERE = Path(__file__).parent
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6002 RTP/AVP 0\r\na=recvonly\r\n"
)
CALLS = 60
CHECKS = 1000

pytestmark = pytest.mark.peer


class Counting:
    """Answers everything, and counts."""

    def __init__(self):
        self.told = Counter()

    def health(self):
        return 0

    async def on_invite(self, dialog, request):
        self.told["invite"] += 1
        return Answer(body=SDP)

    async def on_reinvite(self, dialog, request):
        self.told["reinvite"] += 1
        return Answer(body=SDP)

    async def on_update(self, dialog, request):
        self.told["update"] += 1
        return Answer()

    def on_ack(self, dialog, request):
        self.told["ack"] += 1

    def on_info(self, dialog, request):
        self.told["info"] += 1

    def on_changed(self, dialog):
        pass

    def alive(self, dialog):
        self.told["doubt"] += 1
        return True

    def odd(self, reason):
        self.told[f"odd-{reason}"] += 1

    def on_end(self, dialog, why, request):
        self.told[why] += 1


async def sipp(address, tmp_path, scenario, *options):
    """Run it to its end; how many of its calls it says went well."""
    program = shutil.which("sipp")
    needs(program, "sipp is missing: apt-get install sip-tester")
    running = await asyncio.create_subprocess_exec(
        program, f"{address[0]}:{address[1]}", "-i", "127.0.0.1", "-sf", HERE / scenario, "-nostdin", "-timeout", "100", "-d", "500",
        *options, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(running.communicate(), 120)
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    return int(re.findall(rb"Successful call +\| +\d+ +\| +(\d+)", out)[-1])


async def served(tmp_path, transport, *options, scenario="call.xml"):
    """All calls at once are not too many: after a moment without a processor sipp makes up for it."""
    application = Counting()
    async with SipServer(Settings(invites=CALLS, options=CHECKS), application, LoopClock()) as server:
        address = await server.listen(transport, "127.0.0.1", 0)
        well = await sipp(address, tmp_path, scenario, *options)
        return well, application.told, len(server.dialogs)


@pytest.mark.parametrize(("transport", "option"), [("udp", "u1"), ("tcp", "tn")])
async def test_calls_that_are_changed_and_ended(tmp_path, transport, option):
    well, told, left = await served(
        tmp_path, transport, "-t", option, "-m", str(CALLS), "-r", "20", "-max_socket", "100"
    )
    assert (well, left) == (CALLS, 0)
    assert told == {"invite": CALLS, "reinvite": CALLS, "update": CALLS, "ack": 2 * CALLS, End.BYE: CALLS}


async def test_calls_of_which_a_tenth_of_all_messages_is_lost(tmp_path):
    well, told, left = await served(tmp_path, "udp", "-t", "u1", "-m", str(CALLS), "-r", "20", "-lost", "10")
    assert (well, left) == (CALLS, 0)
    assert (told["invite"], told["reinvite"], told["update"], told[End.BYE]) == (CALLS,) * 4
    assert not {End.NO_ACK, End.EXPIRED} & told.keys()


async def test_health_checks_at_200_a_second(tmp_path):
    well, told, _ = await served(tmp_path, "udp", "-t", "u1", "-m", str(CHECKS), "-r", "200", scenario="options.xml")
    assert well == CHECKS
    assert not told
