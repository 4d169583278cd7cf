"""Ports for media are few: who had one keeps it for a while, because clients go on sending to it."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import ExitStack

from siprec_client import ALICE, BOB, CAROL, drive, heard, metadata, over, serving, speak

from vcond_siprec.media import QUARANTINE


def free(number: int) -> tuple[int, int]:
    """So many ports one after another that nobody has, the first of them even."""
    while True:
        first = random.randrange(10_000, 30_000, 2)
        with ExitStack() as tried:
            try:
                for port in range(first, first + number):
                    tried.enter_context(sock := socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("", port))
            except OSError:
                sock.close()
                continue
            return first, first + number - 1


def test_a_port_of_a_session_that_is_over_is_nobodys_for_30_s_and_what_still_comes_there_is_in_no_record():
    async def main():
        async with serving(ports=free(6)) as (host, client):  # two lines, and where unwanted ones lead to
            one, two = client("1", "2"), client("1", "2")
            ports = (await one.invite(metadata(ALICE, BOB))).ports
            await speak(one, 1, 2)
            await one.bye()
            assert (await two.invite(metadata(ALICE, CAROL, session="ses-2"))).status == 503
            assert host.drops["offer", "no-port"] == 1
            await speak(one, 3, 4)  # a client that does not know yet
            await asyncio.sleep(QUARANTINE - 3)
            assert (await two.invite(metadata(ALICE, CAROL, session="ses-2"))).status == 503
            for leg in one.legs:
                leg.deaf = True
            await asyncio.sleep(3)
            reply = await two.invite(metadata(ALICE, CAROL, session="ses-2"))
            assert (reply.status, sorted(reply.ports)) == (200, sorted(ports))
            await speak(two, 5, 6)
            await two.bye()
            await over(host, "session ses-2")
            first, second = host.calls
            assert [heard(host, first, 0, seed) > 0.95 for seed in (1, 3, 5)] == [True, False, False]
            assert [heard(host, second, 0, seed) > 0.95 for seed in (1, 3, 5)] == [False, False, True]

    assert QUARANTINE == 30
    drive(main())
