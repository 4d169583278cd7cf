"""Attaching again: how long is waited, and what the operator is told."""

from __future__ import annotations

import asyncio

import pytest

from vcond.sdk import reconnect
from vcond.sdk.contract import ConfigError, UnreachableError
from vcond.sdk.reconnect import LONGEST, SETTLED, SHORTEST, Reconnecting
from vcond.testing.host import MemoryHost
from vcond.testing.time import run_virtual


class Attempts:
    """Each lasts so many seconds and then fails so; notes when they began and what was told."""

    def __init__(self, *attempts):
        self.left = list(attempts)
        self.began, self.ended, self.lost, self.mistakes = [], [], 0, []
        self.host = MemoryHost("acme")

    async def attach(self):
        now = asyncio.get_running_loop().time
        self.began.append(now())
        if not self.left:
            raise asyncio.CancelledError
        seconds, why = self.left.pop(0)
        await asyncio.sleep(seconds)
        self.ended.append(now())
        if why is not None:
            raise why

    def gone(self):
        self.lost += 1

    def run(self):
        async def main():
            with pytest.raises(asyncio.CancelledError):
                await Reconnecting(self.host, "Acme").keep(self.attach, self.gone, self.mistakes.append)

        run_virtual(main())
        return [later - end for end, later in zip(self.ended, self.began[1:], strict=True)]


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(reconnect.random, "uniform", lambda _, most: most)


def test_pauses_grow_and_are_short_again_after_an_attachment_that_lasted():
    hung_up = UnreachableError("hung up")
    attempts = Attempts(*[(0, hung_up)] * 8, (SETTLED + 1, hung_up), (SETTLED - 1, hung_up))
    pauses = attempts.run()
    assert pauses == pytest.approx([1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST, SHORTEST, 2 * SHORTEST])
    assert attempts.lost == 10


def test_what_the_operator_must_mend_is_tried_seldom_and_said_so(capsys):
    assert Attempts((0, ConfigError("wrong password"))).run() == [LONGEST]
    assert "not attached: Acme refuses vcond" in capsys.readouterr().out


def test_a_mistake_of_ours_is_told_apart_and_tried_again(capsys):
    attempts = Attempts((0, RuntimeError("+4930123456")), (0, None))
    assert attempts.run() == pytest.approx([1, 2])
    assert [str(why) for why in attempts.mistakes] == ["+4930123456"]
    assert attempts.host.attachments[0] == (False, "internal error, see the log")
    assert "4930" not in capsys.readouterr().out


def test_no_two_come_in_step(monkeypatch):
    monkeypatch.undo()
    assert len({reconnect.pause(3) for _ in range(20)}) > 1
    assert all(2 <= reconnect.pause(3) <= 4 for _ in range(20))
