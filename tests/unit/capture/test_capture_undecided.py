"""The memory that all who may still agree share."""

from __future__ import annotations

import gc

import numpy as np

from vcond.capture.undecided import Undecided
from vcond.media.placement.put_aside import PutAside, Room

PIECE = np.arange(160, dtype=np.int16)
EACH = 160 * 2 + 300


def test_a_track_without_room_loses_its_own_oldest_and_takes_nothing_of_others():
    room = Room(3 * EACH)
    first, second = PutAside(room), PutAside(room)
    for at in range(2):
        first.put(at * 160, PIECE, 10_000)
    for at in range(4):
        second.put(at * 160, PIECE, 10_000)
    assert room.used == 3 * EACH
    assert [at for at, _ in first.take()] == [0]
    ((start, pcm),) = second.take()
    assert (start, len(pcm)) == (3 * 160, 160)
    assert room.used == 0


def test_where_others_have_all_of_it_nothing_is_kept():
    room = Room(EACH)
    first, second = PutAside(room), PutAside(room)
    first.put(0, PIECE, 10_000)
    second.put(0, PIECE, 10_000)
    assert (first.first, second.first, room.used) == (0, None, EACH)


def test_what_its_own_bound_drops_is_no_want_of_room():
    told = []

    class Counted(Room):
        def full(self) -> None:
            told.append(1)

    room = Counted(10 * EACH)
    one = PutAside(room)
    for at in range(5):
        one.put(at * 160, PIECE, 320)
    assert (one.first, room.used, told) == (3 * 160, 2 * EACH, [])


def test_one_that_is_forgotten_gives_its_room_back():
    room = Room()
    one = PutAside(room)
    one.put(0, PIECE, 10_000)
    assert room.used == EACH
    del one
    gc.collect()
    assert room.used == 0


def test_it_is_said_once_in_a_while(capsys):
    now = [0.0]
    room = Undecided(1 << 20, clock=lambda: now[0])
    for at in (0.0, 1.0, 599.0, 600.0):
        now[0] = at
        room.full()
    assert capsys.readouterr().out.count("is full") == 2
