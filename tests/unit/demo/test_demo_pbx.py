"""What the phones of ``--pbx asterisk`` are told. With a real Asterisk: tests/e2e/test_demo.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcond.demo import pbx
from vcond.demo.call import FRAME, RATE, Cue, Person, Recording, demo_call
from vcond.demo.errors import DemoError
from vcond.demo.pbx import AsteriskPlayer, moves
from vcond.demo.run import DemoOptions, run_demo

PEOPLE = (Person("caller", "Rita"), Person("agent", "Marcus"))


def silence(seconds: float) -> bytes:
    return b"\xff" * round(seconds * RATE)


def test_without_cues_a_party_says_one_clip_from_its_first_to_its_last_sound() -> None:
    track = silence(1) + b"\x10" * RATE + silence(0.5) + b"\x20" * RATE + silence(2)
    (move,) = moves(Recording("t", PEOPLE, (track, silence(5.5))), 0)
    assert (move.kind, move.at) == ("say", 1.0)
    assert move.clip == track[RATE : round(3.5 * RATE)]


def test_somebody_who_says_nothing_does_nothing() -> None:
    assert moves(Recording("t", PEOPLE, (silence(1), silence(1))), 1) == []


def test_cues_cut_the_audio_and_belong_to_their_party() -> None:
    track = b"\x10" * RATE * 3
    cues = (Cue(1.0, "hold", 1), Cue(1.5, "digit", 0, "1", 100), Cue(2.0, "unhold", 1))
    recording = Recording("t", PEOPLE, (track, track), cues)
    assert [(m.kind, round(m.at, 2)) for m in moves(recording, 0)] == [("say", 0), ("digit", 1.5), ("say", 1.62)]
    assert [(m.kind, round(m.at, 2)) for m in moves(recording, 1)] == [
        ("say", 0), ("hold", 1), ("say", 1.02), ("unhold", 2), ("say", 2.02),
    ]  # fmt: skip
    assert len(moves(recording, 0)[0].clip) == round(1.5 * RATE) - FRAME
    assert (moves(recording, 0)[1].button, moves(recording, 0)[1].ms) == ("1", 100)


def test_of_the_demo_call_no_sample_of_speech_is_cut() -> None:
    call = demo_call()
    for party in (0, 1):
        rebuilt = bytearray(silence(call.seconds))
        for move in moves(call, party):
            at = round(move.at * RATE)
            rebuilt[at : at + len(move.clip)] = move.clip
        assert bytes(rebuilt) == call.tracks[party]


def test_moves_are_in_order_and_a_clip_is_over_before_the_next() -> None:
    call = demo_call()
    for party in (0, 1):
        end = 0.0
        for move in moves(call, party):
            assert move.at >= end
            end = move.at + len(move.clip) / RATE + move.ms / 1000


def test_without_a_checkout_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pbx, "PEERS", tmp_path / "nothing")
    with pytest.raises(DemoError, match="works from a checkout of vcond only"):
        AsteriskPlayer()
    assert run_demo(DemoOptions(pbx="asterisk")) == 1
    assert str(tmp_path / "nothing") in capsys.readouterr().err


def test_phones_do_not_speak_faster(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(DemoOptions(pbx="asterisk", speed=2)) == 1
    assert "must be 1 with --pbx" in capsys.readouterr().err


async def test_no_asterisk_to_be_had_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    player = AsteriskPlayer()

    def fails(folder: Path) -> None:
        raise player._peer.UnavailableError("no network")

    monkeypatch.setattr(player._peer, "start", fails)
    with pytest.raises(DemoError, match="there is no Asterisk: no network"):
        await player.start(tmp_path)
    await player.stop()
