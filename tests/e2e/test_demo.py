"""``vcond demo`` as a user runs it: at real speed, with the real daemon and the embedded engine."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import soxr

from vcond.demo.accuracy import aligned, words
from vcond.demo.call import RATE, Recording, demo_call
from vcond.demo.summary import scores, turns
from vcond.media.codecs import Codec, decode
from vcond.testing.needs import needs
from vcond.vcon import Document, read, validate

pytestmark = [pytest.mark.speech, pytest.mark.timeout(240)]
LIMIT = 200


class Ran(NamedTuple):
    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "vcond", "demo", "--out", folder],
        capture_output=True, text=True, encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    return Ran(done.returncode, done.stdout, done.stderr, folder)


@pytest.fixture(scope="module")
def call() -> Recording:
    return demo_call()


@pytest.fixture(scope="module")
def document(ran: Ran) -> Document:
    assert ran.code == 0, ran.err
    return read(Path(ran.out.splitlines()[-1].removeprefix("vCon: ")).read_bytes())


def report(document: Document) -> dict:
    return next(one["body"] for one in document["attachments"] if one.get("purpose") == "vcond-capture-report")


def test_it_ends_well_with_the_path_as_its_last_line(ran: Ran) -> None:
    assert ran.code == 0, ran.err
    assert ran.err == ""
    path = Path(ran.out.splitlines()[-1].removeprefix("vCon: "))
    assert path.is_file()
    assert path.parent == ran.folder / "vcons"


def test_the_vcon_is_valid_for_us_and_for_the_command(ran: Ran, document: Document) -> None:
    assert [one for one in validate(document) if one.level == "error"] == []
    path = ran.out.splitlines()[-1].removeprefix("vCon: ")
    assert subprocess.run([sys.executable, "-m", "vcond", "validate", path], check=False, timeout=60).returncode == 0


def test_parties_are_who_they_said_they_are(document: Document, call: Recording) -> None:
    people = [(party.get("name"), party.get("tel")) for party in document["parties"] if party.get("type") != "bot"]
    assert people == [(person.name, person.tel) for person in call.parties]


def test_live_text_of_both_parties_was_shown_before_the_end(ran: Ran) -> None:
    live = ran.out.partition("hung up")[0]
    for name in ("Rita", "Marcus"):
        assert re.search(rf"^ +0:\d\d {name} +\w", live, re.MULTILINE), live
    assert "[0:11 of 0:45]" in live


def test_at_least_85_percent_of_the_words_are_there_under_the_right_party(document: Document, call: Recording) -> None:
    found = scores(document, call)
    print([f"{one.right} of {one.spoken}" for one in found])
    assert all(one.share >= 0.85 for one in found)


def test_every_word_that_was_heard_is_within_half_a_second(document: Document, call: Recording) -> None:
    (body,) = [one["body"] for one in document["analysis"] if one["type"] == "wtf_transcription"]
    heard = sorted(body["words"], key=lambda word: word["start"])
    late = []
    for party in (0, 1):
        said = [(word.start, word.end, word.text) for turn in call.turns if turn.party == party for word in turn.words]
        mine = [word for word in heard if word["speaker"] == party]
        pairs = aligned(
            [" ".join(words(text)) for _, _, text in said], [" ".join(words(word["text"])) for word in mine]
        )
        assert len(pairs) >= 0.8 * len(said)
        late += [
            (said[i], mine[j]["start"], mine[j]["end"])
            for i, j in pairs
            if abs(said[i][0] - mine[j]["start"]) > 0.5 or abs(said[i][1] - mine[j]["end"]) > 0.5
        ]
    assert late == []


def test_nobody_is_heard_where_he_does_not_speak(document: Document, call: Recording) -> None:
    for turn in turns(document):
        mine = [one for one in call.turns if one.party == turn.party]
        assert any(one.start - 1 < turn.stop and turn.start < one.end + 1 for one in mine), turn


def test_both_channels_hold_what_was_played(document: Document, call: Recording) -> None:
    dialog = next(one for one in document["dialog"] if one["type"] == "recording")
    body = base64.urlsafe_b64decode(dialog["body"] + "==")
    audio, rate = soundfile.read(io.BytesIO(body), dtype="int16")
    assert (rate, audio.shape[1]) == (RATE, 2)
    played = [decode(Codec.PCMU, track).astype(float) for track in call.tracks]
    assert abs(len(audio) - len(played[0])) <= 0.04 * RATE
    for channel in (0, 1):
        own, other = (_correlation(audio[:, channel], played[party]) for party in (channel, 1 - channel))
        assert own >= 0.95
        assert other <= 0.2


def test_a_file_of_the_users_own_four_times_faster(call: Recording, tmp_path: Path) -> None:
    stereo = np.stack([decode(Codec.PCMU, track) for track in call.tracks], axis=1)
    own = tmp_path / "own.wav"
    soundfile.write(own, soxr.resample(stereo, RATE, 44_100), 44_100)
    done = subprocess.run(
        [sys.executable, "-m", "vcond", "demo", "--wav", own, "--speed", "4", "--out", tmp_path / "out"],
        capture_output=True, text=True, encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = read(Path(done.stdout.splitlines()[-1].removeprefix("vCon: ")).read_bytes())
    assert [party["name"] for party in made["parties"][:2]] == ["Caller", "Agent"]
    assert abs(report(made)["duration"] - call.seconds) <= 0.3
    assert all(one.share >= 0.85 for one in scores(made, call))


@pytest.mark.peer
def test_through_a_real_asterisk(call: Recording, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vcond", "demo", "--pbx", "asterisk", "--out", tmp_path],
        capture_output=True, text=True, encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip
    needs("there is no Asterisk" not in done.stderr, done.stderr.strip().rpartition("\n")[2])
    assert done.returncode == 0, done.stderr
    made = read(Path(done.stdout.splitlines()[-1].removeprefix("vCon: ")).read_bytes())
    assert [one for one in validate(made) if one.level == "error"] == []
    assert all(one.share >= 0.85 for one in scores(made, call))
    hold, unhold = call.cues[0].at, call.cues[1].at
    caller, agent = (party["seconds"] for party in report(made)["parties"][:2])
    assert abs(agent["held"] - (unhold - hold)) <= 0.3
    assert caller["held"] == 0
    history = [one for dialog in made["dialog"] for one in dialog.get("party_history", [])]
    told = [(one["party"], one["event"]) for one in history if one["event"] not in {"join", "drop"}]
    assert told == [(1, "hold"), (1, "unhold"), (0, "keydown"), (0, "keyup")]


def _correlation(recorded: np.ndarray, played: np.ndarray) -> float:
    """The best normalised correlation over small shifts: the first frame may come some milliseconds late."""
    size = 1 << (len(recorded) + len(played)).bit_length()
    product = np.fft.irfft(np.fft.rfft(recorded.astype(float), size) * np.conj(np.fft.rfft(played, size)), size)
    near = np.concatenate([product[: RATE // 2], product[-RATE // 2 :]])
    return float(np.abs(near).max() / np.sqrt((recorded.astype(float) ** 2).sum() * (played**2).sum()))


def test_nothing_was_lost_on_the_way(document: Document, call: Recording) -> None:
    body = report(document)
    assert body["complete"] is True
    for party in body["parties"]:
        assert party["seconds"]["lost"] <= 0.04
        assert abs(sum(party["seconds"].values()) - call.seconds) <= 0.1


def test_the_key_is_in_the_history_of_the_caller(document: Document) -> None:
    history = [one for dialog in document["dialog"] for one in dialog.get("party_history", [])]
    pressed = [(one["party"], one["event"], one["button"]) for one in history if "button" in one]
    assert pressed == [(0, "keydown", "1"), (0, "keyup", "1")]


def test_configuration_and_log_stay_and_hold_nothing_that_was_said(ran: Ran, call: Recording) -> None:
    assert sorted(path.name for path in ran.folder.iterdir()) == ["vcond.log", "vcond.toml", "vcons"]
    log = (ran.folder / "vcond.log").read_text()
    assert "bakery" not in log
    assert "Marcus" not in log
    assert not any(person.tel in log for person in call.parties)
