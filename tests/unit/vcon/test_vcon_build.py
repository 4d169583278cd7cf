from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile

from vcond.base.errors import ConfigError, JournalError
from vcond.call import events as ev
from vcond.call.state import Call, fold
from vcond.vcon import BuildOptions, build, build_with_media, serialize, validate
from vcond.vcon.building.audio_forms import content_hash
from vcond.vcon.building.opus_pieces import OpusFile
from vcond.vcon.building.riff import Form
from vcond.vcon.building.wav import compand, expand, read_wav


def body(dialog) -> bytes:
    text = dialog["body"]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def form(document) -> str:
    return next(one["body"]["audio"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report")


def tags(document) -> list[str]:
    return next(one["body"] for one in document["attachments"] if one["purpose"] == "tags")


def noisy(scenarios, seconds: float, parties: int = 2, rate: int = 8000):
    """A call of noise, which nothing compresses well."""
    script = scenarios.Script(seconds, rate=rate)
    script.open()
    for party in range(parties):
        script.joins(party, 0, ev.PartyInfo(tel=f"+1555123000{party}"))
    script.add(ev.Answered(at=script.at(0)))
    rng = np.random.default_rng(7)
    for party in range(parties):
        track = script.track(party, 0)
        script.hears(track, 0, seconds)
        script.audio[track][:] = rng.integers(-3000, 3000, len(script.audio[track]), np.int16)
    return scenarios.finish(script, range(parties))


def test_the_recording_is_the_journals_audio_sample_for_sample(scenarios):
    script = scenarios.plain()
    for track in (0, 1):
        script.audio[track] = expand(Form.MULAW, compand(Form.MULAW, script.audio[track]))
    document = build(fold(script.events), script.audio)
    rate, frames = read_wav(body(document["dialog"][0]))
    assert rate == 8000
    assert (frames == np.stack([script.audio[0], script.audio[1]], axis=1)[4000:]).all()


def test_a_call_of_a_law_stays_a_law(scenarios):
    script = scenarios.plain()
    script.events = [
        ev.TrackOpened(at=one.at, track=one.track, party=one.party, codec="PCMA", rate=one.rate)
        if isinstance(one, ev.TrackOpened)
        else one
        for one in script.events
    ]
    document = build(fold(script.events), script.audio)
    assert form(document) == "wav-alaw"
    assert soundfile.info(io.BytesIO(body(document["dialog"][0]))).subtype == "ALAW"


def test_both_channels_are_as_long_as_the_call(scenario, scenarios):
    script = scenarios.SCENARIOS[scenario]()
    document = build(fold(script.events), script.audio)
    for dialog in document["dialog"]:
        if "body" in dialog:
            rate, frames = read_wav(body(dialog))
            assert len(frames) / rate == dialog["duration"]
            assert frames.shape[1] == len(dialog["parties"])


def test_the_same_journal_gives_the_same_bytes(scenario, scenarios):
    make = scenarios.SCENARIOS[scenario]
    one, two = make(), make()
    assert serialize(build(fold(one.events), one.audio)) == serialize(build(fold(two.events), two.audio))


def test_build_changes_nothing_of_what_it_is_given(scenarios):
    script = scenarios.pause()
    call = fold(script.events)
    before = {track: pcm.copy() for track, pcm in script.audio.items()}
    first = serialize(build(call, script.audio))
    assert all((script.audio[track] == pcm).all() for track, pcm in before.items())
    assert serialize(build(call, script.audio)) == first


def test_no_sample_and_no_word_of_a_pause_is_in_the_record(scenarios):
    script = scenarios.pause()
    document = build(fold(script.events), script.audio)
    _, frames = read_wav(body(document["dialog"][0]))
    assert not frames[round(1.9 * 8000) : round(4.0 * 8000)].any()
    assert frames[: round(1.9 * 8000)].any(axis=0).all()
    text = serialize(document)
    for word in (b'"four"', b'"one"', b"is four"):
        assert word not in text


@pytest.mark.parametrize(
    ("limit", "forms"),
    [
        (None, {"wav-mulaw"}),
        (2_000_000, {"wav-mulaw"}),
        (150_000, {"flac", "opus-16"}),
        (100_000, {"opus-16"}),
        (80_000, {"opus-12", "opus-8"}),
        (5_000, {"edge"}),
    ],
)
def test_the_form_is_chosen_by_size_and_the_limit_is_kept(scenarios, limit, forms):
    script = noisy(scenarios, 15)
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=limit))
    assert form(document) in forms
    assert [one for one in validate(document) if one.level == "error"] == []
    if form(document) != "edge":
        assert limit is None or len(serialize(document)) <= limit
    if form(document).startswith("opus"):
        lossy = build(fold(script.events), script.audio, BuildOptions(inline_limit=limit))
        assert serialize(lossy) == serialize(document)


def test_quiet_calls_fit_as_flac(scenarios):
    script = scenarios.plain()
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=40_000))
    assert form(document) == "flac"
    frames, _ = soundfile.read(io.BytesIO(body(document["dialog"][0])), dtype="int16")
    assert (frames == np.stack([script.audio[0], script.audio[1]], axis=1)[4000:]).all()


def test_opus_of_two_parties_below_16_kbit_is_a_file_each(scenarios):
    script = noisy(scenarios, 15)
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=80_000))
    assert [one["type"] for one in document["dialog"]] == ["recording-set", "recording", "recording"]
    assert [one["filename"] for one in document["dialog"][1:]] == ["party-0.ogg", "party-1.ogg"]


def test_a_conference_is_compressed_too(scenarios):
    script = noisy(scenarios, 10, parties=3)
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=110_000))
    assert form(document).startswith("opus")
    assert len(serialize(document)) <= 110_000


def test_audio_that_fits_in_no_form_stays_at_the_edge_and_is_said_so(scenarios):
    script = noisy(scenarios, 15)
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=5_000))
    assert "vcond_audio:edge" in tags(document)
    assert "body" not in document["dialog"][0]
    report = document["attachments"][1]["body"]
    assert "the audio is larger than this vCon may be and stays at the edge" in report["notes"]
    assert report["parties"][0]["seconds"]["received"] == 15.0


@pytest.mark.parametrize("parties", [2, 3])
def test_audio_that_fits_in_no_form_can_be_named_by_url(scenarios, parties):
    script = noisy(scenarios, 15, parties)
    small = BuildOptions(inline_limit=5_000)
    built = build_with_media(fold(script.events), script.audio, small, media_url="https://media.example/vcons/")
    assert validate(built.document) == []
    named = [one for one in built.document["dialog"] if "url" in one]
    assert [one["url"] for one in named] == [f"https://media.example/vcons/{file.name}" for file in built.media]
    for dialog, file in zip(named, built.media, strict=True):
        data = b"".join(file.pieces())
        assert (len(data), content_hash([data])) == (file.size, dialog["content_hash"])
        assert b"".join(file.pieces()) == data
        rate, frames = read_wav(data)
        assert frames.shape == (15 * rate, len(dialog["parties"]))
    assert form(built.document) == "wav-mulaw outside"
    assert not any(tag.startswith("vcond_audio") for tag in tags(built.document))


def test_audio_that_fits_stays_inside_though_there_is_a_media_folder(scenarios):
    script = scenarios.plain()
    built = build_with_media(fold(script.events), script.audio, media_url="https://media.example")
    assert built.media == ()
    assert built.document == build(fold(script.events), script.audio)


def test_a_media_folder_is_https_and_no_clock_fills_it(scenarios):
    script = scenarios.two()
    script.hears(0, 0.5, 4.0)
    script.add(ev.CallEnded(at=ev.Instant(script.at(0) + 10**19)))
    with pytest.raises(ConfigError):
        build_with_media(fold(script.events), script.audio, media_url="http://media.example")
    built = build_with_media(fold(script.events), script.audio, media_url="https://media.example")
    assert built.media == ()
    assert form(built.document) == "edge"


def test_wide_band_is_16_bit(scenarios):
    script = noisy(scenarios, 2, rate=16000)
    document = build(fold(script.events), script.audio)
    assert form(document) == "wav-pcm16"
    rate, frames = read_wav(body(document["dialog"][0]))
    assert (rate, frames.shape) == (16000, (32000, 2))


def test_a_clock_that_ran_away_allocates_and_compresses_nothing(scenarios, monkeypatch):
    monkeypatch.setattr(OpusFile, "sampled", None)
    script = scenarios.two()
    script.hears(0, 0.5, 4.0)
    script.add(ev.CallEnded(at=ev.Instant(script.at(0) + 10**19)))
    document = build(fold(script.events), script.audio)
    assert form(document) == "edge"
    assert [one for one in validate(document) if one.level == "error"] == []


def test_a_state_that_is_no_call_has_no_vcon():
    with pytest.raises(JournalError):
        build(Call(), {})


def test_a_basis_is_attached_only_when_the_operator_gave_one(scenarios):
    script = scenarios.plain()
    basis = {"lawful_basis": "contract", "expiration": None, "purpose_grants": []}
    with_it = build(fold(script.events), script.audio, BuildOptions(lawful_basis=basis))
    without = build(fold(script.events), script.audio)
    assert "lawful_basis" in with_it["extensions"]
    found = [(one["party"], one["body"]) for one in with_it["attachments"] if one["purpose"] == "lawful_basis"]
    parties_of = [at for at, party in enumerate(with_it["parties"]) if party.get("type") != "bot"]
    assert len(parties_of) == 2
    assert found == [(at, basis) for at in parties_of]  # whose basis it is: never the daemon's own
    assert not [one for one in validate(with_it) if one.code == "lawful-basis"]
    assert b"lawful_basis" not in serialize(without)


def test_a_bot_has_no_basis(scenarios):
    script = scenarios.two()
    script.add(ev.PartyDescribed(at=script.at(0), party=1, who=ev.PartyInfo(name="Menu", type="bot")))
    basis = {"lawful_basis": "contract", "expiration": None, "purpose_grants": []}
    script = scenarios.finish(script, (0, 1))
    document = build(fold(script.events), script.audio, BuildOptions(lawful_basis=basis))
    assert document["parties"][1]["type"] == "bot"
    assert [one["party"] for one in document["attachments"] if one["purpose"] == "lawful_basis"] == [0]
    assert not [one for one in validate(document) if one.code == "lawful-basis"]


def test_tags_of_the_call_follow_ours_and_cannot_replace_them(scenarios):
    script = scenarios.plain()
    script.add(ev.Tagged(at=script.at(1), name="source", value="else"))
    script.add(ev.Tagged(at=script.at(1), name="a:b", value="c"))
    document = build(fold(script.events), script.audio)
    assert tags(document) == ["source:vcond", "platform:asterisk", "direction:inbound", "campaign:autumn", "a_b:c"]


@pytest.mark.parametrize(
    ("direction", "subject"), [("inbound", "Inbound call to queue support"), ("unknown", "Call to queue support")]
)
def test_the_subject(scenarios, direction, subject):
    script = scenarios.plain()
    call = fold(script.events)
    call.direction = direction
    assert build(call, script.audio)["subject"] == subject


def test_operators_words(scenarios):
    script = scenarios.plain()
    document = build(fold(script.events), script.audio, BuildOptions(sip_domain="pbx.example.com", org="Example"))
    assert document["parties"][1]["sip"] == "1001@pbx.example.com"
    assert document["parties"][2]["org"] == "Example"
