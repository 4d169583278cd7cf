from __future__ import annotations

from vcond.call import events as ev
from vcond.call.state import fold
from vcond.vcon.building.attributes import Attributes
from vcond.vcon.building.mix import view
from vcond.vcon.building.segments import segments, unit


def heard(script, parties=None):
    call = fold(script.events)
    return segments(call, view(call, call.tracks), Attributes(call), parties)


def test_times_count_from_the_start_of_the_recording(scenarios):
    said = heard(scenarios.plain())
    first = said.segments[0]
    assert (first.party, first.start, first.stop, first.text) == (0, 0.3, 1.9, "hello is this support")
    assert [(word.start, word.stop) for word in first.words][:2] == [(0.3, 0.62), (0.7, 1.02)]


def test_segments_are_in_order_of_time_not_of_arrival(scenarios):
    script = scenarios.two()
    script.says(1, 2.5, "second")
    script.says(0, 0.8, "first")
    scenarios.finish(script, (0, 1))
    assert [one.text for one in heard(script).segments] == ["first", "second"]


def test_only_the_parties_asked_for(scenarios):
    assert [one.party for one in heard(scenarios.plain(), [1]).segments] == [1]


def test_an_utterance_that_a_pause_cuts_keeps_only_words_outside(scenarios):
    said = heard(scenarios.pause())
    assert [one.text for one in said.segments] == ["my card number is", "thank you"]
    assert said.cut == 1
    assert said.segments[0].stop <= 1.9


def test_an_utterance_without_words_that_a_pause_touches_is_left_out(scenarios):
    script = scenarios.pause()
    script.events = [
        ev.Transcribed(at=one.at, utterance=one.utterance, engine="x", model="y", text=one.text)
        if isinstance(one, ev.Transcribed)
        else one
        for one in script.events
    ]
    said = heard(script)
    assert [one.text for one in said.segments] == ["thank you"]
    assert said.cut == 1


def test_what_has_no_text_is_counted_by_reason(scenarios):
    script = scenarios.two()
    script.mumbles(0, 1, 2, "deadline")
    script.mumbles(0, 2, 3, "deadline")
    script.mumbles(1, 2, 3)
    said = heard(scenarios.finish(script, (0, 1)))
    assert dict(said.failed) == {"deadline": 2}
    assert said.waiting == 1
    assert said.lost


def test_an_empty_text_is_no_segment_and_not_lost(scenarios):
    script = scenarios.two()
    script.says(0, 1, "")
    script.add(ev.Utterance(at=script.at(2), utterance=9, track=0, start=8000, stop=9000))
    script.add(ev.Transcribed(at=script.at(2), utterance=9, engine="vosk", model="m", text=" "))
    said = heard(scenarios.finish(script, (0, 1)))
    assert said.segments == []
    assert not said.lost


def test_the_most_used_engine_is_named_and_others_listed(scenarios):
    script = scenarios.two()
    script.says(0, 0.8, "a", engine="whisper")
    script.says(0, 1.8, "b")
    script.says(1, 2.8, "c")
    said = heard(scenarios.finish(script, (0, 1)))
    assert said.engine == "vosk"
    assert said.engines == ["vosk/vosk-model-small-en-us-0.15", "whisper/vosk-model-small-en-us-0.15"]


def test_the_machine_that_heard_it_for_this_one_is_named_with_engine_and_model(scenarios):
    script = scenarios.two()
    for number, machine in ((7, "gpu-1"), (8, "gpu-2"), (9, "gpu-1")):
        script.add(ev.Utterance(at=script.at(1), utterance=number, track=0, start=8000, stop=9000))
        script.add(
            ev.Transcribed(at=script.at(2), utterance=number, engine="vosk", model="m", text="a", machine=machine)
        )
    said = heard(scenarios.finish(script, (0, 1)))
    assert (said.engine, said.model) == ("vosk", "m")
    assert said.engines == ["vosk/m@gpu-1", "vosk/m@gpu-2"]


def test_without_a_text_the_facts_name_the_engine(scenarios):
    said = heard(scenarios.nobody_spoke())
    assert (said.engine, said.model, said.segments, said.lost) == ("vosk", "vosk-model-small-en-us-0.15", [], False)


def test_words_before_and_after_the_window_are_moved_into_it(scenarios):
    script = scenarios.two()
    script.says(0, 0.1, "early")
    script.says(1, 3.9, "late")
    script.says(1, 9.0, "after")
    for one in heard(scenarios.finish(script, (0, 1))).segments:
        for start, stop in [(one.start, one.stop), *((word.start, word.stop) for word in one.words)]:
            assert 0 <= start <= 3.5
            assert start < stop <= 3.501


def test_confidence_of_the_words_stands_in_for_that_of_the_whole(scenarios):
    script = scenarios.two()
    script.add(ev.Utterance(at=script.at(2), utterance=0, track=0, start=8000, stop=12000))
    words = [
        ev.Word(start=8000, stop=9000, text="a", confidence=0.5),
        ev.Word(start=9000, stop=9500, text="b", confidence=7),
    ]
    script.add(ev.Transcribed(at=script.at(2), utterance=0, engine="e", model="m", text="", words=words))
    one = heard(scenarios.finish(script, (0, 1))).segments[0]
    assert one.text == "a b"
    assert [word.confidence for word in one.words] == [0.5, 1.0]
    assert one.confidence == 0.75
    assert unit(-3) == unit(float("nan")) == 0.0
    assert unit(float("inf")) == 1.0
