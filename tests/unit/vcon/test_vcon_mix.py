from __future__ import annotations

import numpy as np
import pytest

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.events import SpanKind
from vcond.call.state import fold
from vcond.vcon.building.mix import LONGEST, PartyMix, View, heard, mix, pauses, touches_pause, view


def test_the_window_begins_at_the_answer(scenarios):
    script = scenarios.plain()
    call = fold(script.events)
    shown = view(call, call.tracks)
    assert shown.start == script.at(0.5)
    assert shown.stop == script.at(4)
    assert (shown.rate, shown.origin, shown.frames, shown.seconds) == (8000, 4000, 28000, 3.5)


def test_audio_before_the_answer_moves_the_window(scenarios):
    script = scenarios.two()
    script.hears(0, 0.25, 4.0)
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    assert view(call, call.tracks).start == script.at(0.25)


def test_without_an_answer_the_first_track_counts(scenarios):
    script = scenarios.Script(3.0)
    script.open()
    script.joins(0, 0, scenarios.CALLER)
    script.track(0, 1.0)
    script.ends(3.0)
    call = fold(script.events)
    assert view(call, call.tracks).start == script.at(1.0)


def test_the_start_is_a_whole_millisecond(scenarios):
    script = scenarios.two()
    script.events[5] = ev.Answered(at=Instant(script.at(0.5) + 123_456))
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    assert view(call, call.tracks).start % 1_000_000 == 0


def test_clocks_that_went_wrong_make_no_endless_window(scenarios):
    script = scenarios.two()
    script.add(ev.CallEnded(at=Instant(script.at(0) + 10**19)))
    call = fold(script.events)
    shown = view(call, call.tracks)
    assert shown.stop - shown.start == LONGEST


@pytest.mark.parametrize("ended", [-5.0, 0.0, 0.3])
def test_an_end_before_the_answer_is_an_empty_window(scenarios, ended):
    script = scenarios.two()
    script.ends(ended)
    call = fold(script.events)
    assert view(call, call.tracks).frames == 0


def test_tracks_of_a_party_are_laid_on_one_mix(scenarios):
    script = scenarios.crash()
    call = fold(script.events)
    shown = view(call, call.tracks)
    pcm = mix(call, shown, 0, script.audio).read(0, shown.frames)
    expected = script.audio[0] + script.audio[2]
    assert (pcm == expected[shown.origin :]).all()
    assert script.audio[2].any()


def test_tracks_at_once_are_added_and_cut_off():
    shown = View(Instant(0), Instant(SECOND), 8, 0, 8)
    loud, soft = np.full(8, 30000, np.int16), np.full(4, 5000, np.int16)
    mixed = PartyMix(shown, [(0, loud), (2, soft)], [])
    assert mixed.read(0, 8).tolist() == [30000, 30000, 32767, 32767, 32767, 32767, 30000, 30000]
    assert (mixed.read(3, 5) == mixed.read(0, 8)[3:5]).all()


def test_a_mix_is_cut_and_padded_to_the_window():
    shown = View(Instant(0), Instant(SECOND), 8, 4, 8)
    long, short = np.arange(100, dtype=np.int16), np.arange(6, dtype=np.int16)
    assert PartyMix(shown, [(-4, long)], []).read(0, 8).tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    assert PartyMix(shown, [(-4, short)], []).read(0, 8).tolist() == [4, 5, 0, 0, 0, 0, 0, 0]
    assert PartyMix(shown, [(50, short)], []).read(0, 8).tolist() == [0] * 8


def test_a_pause_is_silence_whatever_the_file_holds(scenarios):
    script = scenarios.pause()
    script.audio[0][:] = 1000
    call = fold(script.events)
    shown = view(call, call.tracks)
    pcm = mix(call, shown, 0, script.audio).read(0, shown.frames)
    assert (pcm == 0).sum() == round(2.1 * 8000)
    assert (pcm[round(1.9 * 8000) : round(4.0 * 8000)] == 0).all()


def test_an_open_pause_goes_to_the_end(scenarios):
    script = scenarios.two()
    script.add(ev.RecordingPaused(at=script.at(2)))
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    shown = view(call, call.tracks)
    assert pauses(call, shown) == [(12000, 28000)]


def test_a_pause_of_part_of_a_sample_takes_the_whole(scenarios):
    script = scenarios.two()
    script.add(ev.RecordingPaused(at=Instant(script.at(1) + 1)), ev.RecordingResumed(at=Instant(script.at(1) + 2)))
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    assert pauses(call, view(call, call.tracks)) == [(4000, 4001)]


def test_paused_spans_are_silence_too(scenarios):
    script = scenarios.two()
    script.audio[0][:] = 7
    script.hears(0, 2.0, 3.0, SpanKind.PAUSED)
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    shown = view(call, call.tracks)
    pcm = mix(call, shown, 0, script.audio).read(0, shown.frames)
    assert np.flatnonzero(pcm == 0).tolist() == list(range(12000, 20000))


def test_a_track_of_another_rate_is_converted(scenarios):
    script = scenarios.two()
    script.hears(0, 0.5, 4.0)
    script.add(ev.TrackOpened(at=script.at(1), track=2, party=1, codec="L16", rate=16000))
    script.audio[2] = (np.sin(np.arange(64000) * 2 * np.pi * 440 / 16000) * 8000).astype(np.int16)
    scenarios.finish(script, (0, 1))
    call = fold(script.events)
    shown = view(call, call.tracks)
    assert (shown.rate, shown.frames) == (16000, 56000)
    assert (mix(call, shown, 1, script.audio).read(0, 56000) == script.audio[2][8000:]).all()
    raised = mix(call, shown, 0, script.audio).read(0, 56000)
    assert abs(int(raised[::2].astype(int).std()) - int(script.audio[0][4000:].astype(int).std())) < 50


def test_heard_looks_at_spans_and_else_at_samples(scenarios):
    script = scenarios.two()
    call = fold(script.events)
    assert not heard(call.tracks[0], script.audio)
    assert not heard(call.tracks[0], {})
    script.audio[0][5] = 1
    assert heard(call.tracks[0], script.audio)
    call.tracks[1].spans.set(0, 5, SpanKind.SILENT)
    assert heard(call.tracks[1], {})


def test_touching_a_pause_counts_its_edges():
    windows = fold(
        [ev.RecordingPaused(at=Instant(10)), ev.RecordingResumed(at=Instant(20)), ev.RecordingPaused(at=Instant(50))]
    ).pauses
    assert not touches_pause(windows, Instant(0), Instant(9))
    assert touches_pause(windows, Instant(0), Instant(10))
    assert touches_pause(windows, Instant(20), Instant(30))
    assert not touches_pause(windows, Instant(21), Instant(49))
    assert touches_pause(windows, Instant(60), Instant(61))
