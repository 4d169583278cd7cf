from __future__ import annotations

from vcond.call import events as ev
from vcond.call.state import fold
from vcond.vcon import build, validate


def analyses(script):
    document = build(fold(script.events), script.audio)
    assert [one for one in validate(document) if one.level == "error"] == []
    return {(one["type"], one["dialog"]): one for one in document.get("analysis", [])}


def test_both_forms_of_a_plain_call(scenarios):
    found = analyses(scenarios.plain())
    assert set(found) == {("wtf_transcription", 0), ("transcript", 0)}
    wtf = found["wtf_transcription", 0]
    assert (wtf["vendor"], wtf["product"], wtf["start"]) == (
        "vosk", "vosk-model-small-en-us-0.15", "2026-11-23T09:00:03.8Z",
    )  # fmt: skip
    body = wtf["body"]
    assert body["transcript"] == {
        "text": "hello is this support yes how can i help", "language": "en-US", "duration": 3.5, "confidence": 0.9,
    }  # fmt: skip
    assert [one["words"] for one in body["segments"]] == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    assert [one["id"] for one in body["words"]] == list(range(9))
    assert body["speakers"]["1"] == {
        "id": 1, "label": "party 1", "segments": [1], "total_time": 1.0, "confidence": 0.9,
    }  # fmt: skip
    assert body["metadata"]["processing_time"] == 0.24
    assert body["metadata"]["audio"] == {"duration": 3.5, "sample_rate": 8000, "channels": 2}
    assert body["quality"] == {
        "multiple_speakers": True, "overlapping_speech": False, "average_confidence": 0.9111,
        "low_confidence_words": 0, "processing_warnings": [], "silence_ratio": 0.2571,
    }  # fmt: skip
    assert body["streaming"]["latency_ms"] == 300


def test_the_transcript_is_what_conserver_links_read(scenarios):
    body = analyses(scenarios.plain())["transcript", 0]["body"]
    assert body["paragraphs"]["transcript"] == "Speaker 0: hello is this support\n\nSpeaker 1: yes how can i help"
    assert body["detected_language"] == "en"
    assert body["words"][4] == {"word": "yes", "start": 2.0, "end": 2.16, "confidence": 0.95, "speaker": 1}


def test_a_turn_of_several_utterances_is_one_paragraph(scenarios):
    script = scenarios.two()
    script.says(0, 0.8, "one")
    script.says(0, 1.4, "two")
    script.says(1, 2.0, "three")
    body = analyses(scenarios.finish(script, (0, 1)))["transcript", 0]["body"]
    assert body["paragraphs"]["transcript"] == "Speaker 0: one two\n\nSpeaker 1: three"


def test_nobody_spoke(scenarios):
    found = analyses(scenarios.nobody_spoke())
    body = found["wtf_transcription", 0]["body"]
    assert (body["segments"], body["transcript"]["text"], body["transcript"]["confidence"]) == ([], "", 0.0)
    assert body["quality"]["silence_ratio"] == 1.0
    assert found["transcript", 0]["body"]["paragraphs"]["transcript"] == ""
    assert not any("transcribed" in text for text in body["quality"]["processing_warnings"])


def test_not_transcribed_says_why_and_leaves_the_transcript_to_others(scenarios):
    script = scenarios.two()
    script.mumbles(0, 1, 2, "engine-failed")
    script.mumbles(0, 2, 3)
    found = analyses(scenarios.finish(script, (0, 1)))
    assert set(found) == {("wtf_transcription", 0)}
    warnings = found["wtf_transcription", 0]["body"]["quality"]["processing_warnings"]
    assert "1 utterances not transcribed: engine-failed" in warnings
    assert "1 utterances not transcribed yet" in warnings


def test_without_an_engine_nothing_is_claimed(scenarios):
    script = scenarios.two()
    script.events = [one for one in script.events if not isinstance(one, ev.CallAttribute)]
    script.hears(0, 0.5, 4.0)
    assert analyses(scenarios.finish(script, (0, 1))) == {}


def test_texts_that_nobody_asked_for_did_not_fail(scenarios):
    script = scenarios.two()
    script.events = [one for one in script.events if not isinstance(one, ev.CallAttribute)]
    script.hears(0, 0.5, 4.0)
    for second in (1, 2, 3):
        script.mumbles(0, second, second + 0.5, "no-engine")
    built = scenarios.finish(script, (0, 1))
    assert analyses(built) == {}
    document = build(fold(built.events), built.audio)
    told = next(one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report")
    assert told["utterances"] == {"transcribed": 0, "failed": 0, "waiting": 0, "cut": 0, "not_asked": 3}
    assert not [note for note in told["notes"] if "transcribed" in note]


def test_an_engine_that_was_taken_away_in_the_call_leaves_a_warning(scenarios):
    script = scenarios.two()
    script.says(0, 1.0, "a b")
    script.mumbles(0, 2, 3, "no-engine")
    found = analyses(scenarios.finish(script, (0, 1)))["wtf_transcription", 0]["body"]
    assert "1 utterances not transcribed: there was no engine then" in found["quality"]["processing_warnings"]


def test_an_engine_that_nobody_named_is_vcond(scenarios):
    script = scenarios.two()
    script.events = [one for one in script.events if not isinstance(one, ev.CallAttribute)]
    script.mumbles(0, 1, 2, "engine-failed")
    found = analyses(scenarios.finish(script, (0, 1)))
    assert found["wtf_transcription", 0]["vendor"] == "vcond"
    assert "product" not in found["wtf_transcription", 0]


def test_lost_audio_and_interruptions_warn(scenarios):
    loss = analyses(scenarios.loss())["wtf_transcription", 0]["body"]["quality"]["processing_warnings"]
    assert loss == ["party 1: 0.24 s of audio lost", "packets lost on a leg", "1 utterances not transcribed: deadline"]
    crash = analyses(scenarios.crash())["wtf_transcription", 0]["body"]["quality"]["processing_warnings"]
    assert crash == ["capture interrupted for 2.0 s (crash)"]


def test_a_set_has_the_whole_and_a_transcript_a_file(scenarios):
    found = analyses(scenarios.conference())
    assert set(found) == {("wtf_transcription", 0), *(("transcript", index) for index in range(5))}
    assert found["transcript", 3]["body"]["transcript"] == "hi"
    assert found["transcript", 2]["body"]["transcript"] == ""
    assert found["transcript", 0]["body"]["transcript"] == "welcome all hi good morning"


def test_two_who_speak_at_once_overlap(scenarios):
    script = scenarios.two()
    script.says(0, 1.0, "a b c")
    script.says(1, 1.5, "d")
    quality = analyses(scenarios.finish(script, (0, 1)))["wtf_transcription", 0]["body"]["quality"]
    assert quality["overlapping_speech"] is True


def test_several_engines_are_named_in_the_options(scenarios):
    script = scenarios.two()
    script.says(0, 1.0, "a", engine="Whisper")
    script.says(0, 2.0, "b", engine="Whisper")
    script.says(1, 3.0, "c")
    wtf = analyses(scenarios.finish(script, (0, 1)))["wtf_transcription", 0]
    assert wtf["vendor"] == "Whisper"
    assert wtf["body"]["metadata"]["provider"] == "whisper"
    assert len(wtf["body"]["metadata"]["options"]["engines"]) == 2


def test_words_below_one_half_are_counted(scenarios):
    script = scenarios.two()
    words = [
        ev.Word(start=8000 + n, stop=8010 + n, text="x", confidence=sure) for n, sure in enumerate((0.49, 0.5, 0.51))
    ]
    script.add(ev.Utterance(at=script.at(2), utterance=0, track=0, start=8000, stop=12000))
    script.add(ev.Transcribed(at=script.at(2), utterance=0, engine="e", model="m", text="x x x", words=words))
    quality = analyses(scenarios.finish(script, (0, 1)))["wtf_transcription", 0]["body"]["quality"]
    assert (quality["low_confidence_words"], quality["average_confidence"]) == (1, 0.5)


def test_a_vocabulary_that_was_not_kept_to_is_said_of_the_transcript(scenarios):
    script = scenarios.plain()
    note = "the vocabulary has no word for others"
    script.events.append(ev.Warned(at=script.events[-1].at, code=ev.VOCABULARY, text=note))
    script.events.append(ev.Warned(at=script.events[-1].at, code="clock-stepped", text="not about texts"))
    quality = analyses(script)["wtf_transcription", 0]["body"]["quality"]
    assert quality["processing_warnings"] == [note]
