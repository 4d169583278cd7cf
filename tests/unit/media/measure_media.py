"""Measures what a frame costs and how well speech is found: ``python tests/unit/media/measure_media.py [call.wav call.json]``.

Nothing is asserted here. The wave file is stereo, 8 kHz; the JSON names its channels and the turns spoken in each.
"""

from __future__ import annotations

import json
import sys
import time
import wave
from importlib.resources import files
from pathlib import Path

import numpy as np

from vcond.media.codecs import Codec, decode, encode
from vcond.media.detect.segmenter import Ended, Segmenter
from vcond.media.placement.clocks import ArrivalClock, MillisClock, RtpClock
from vcond.media.placement.timeline import Timeline

MS = 1_000_000
FRAME = 160
ROUNDS = 5


def best(work, count):
    """Least microseconds per piece of ``count``, of some rounds."""
    took = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        took.append((time.perf_counter() - begin) / count * 1e6)
    return f"{min(took):6.2f} us"


def measure_frames(payloads):
    frames = [decode(Codec.PCMU, payload) for payload in payloads]
    arrivals = [(i + 1) * 20 * MS + i * 7919 % (8 * MS) for i in range(len(frames))]
    for codec in Codec:
        coded = [encode(codec, frame) for frame in frames]
        print(f"decode {codec:6}            {best(lambda c=codec, p=coded: [decode(c, x) for x in p], len(frames))}")

    def arrival(*, coded):
        line = Timeline(8000, ArrivalClock())
        for i, payload in enumerate(payloads):
            line.push(decode(Codec.PCMU, payload) if coded else frames[i], arrived=arrivals[i])
            line.spans()

    def millis(*, coded):
        line = Timeline(8000, MillisClock())
        for i, payload in enumerate(payloads):
            pcm = decode(Codec.PCMU, payload) if coded else frames[i]
            line.push(pcm, arrived=arrivals[i], stamp=20 * i, seq=i + 1)
            line.spans()

    def rtp(*, coded):
        line = Timeline(8000, RtpClock(8000))
        for i, payload in enumerate(payloads):
            pcm = decode(Codec.PCMU, payload) if coded else frames[i]
            line.push(pcm, arrived=arrivals[i], stamp=(160 * i) % 2**32, seq=i % 65536)
            line.spans()

    for work in (arrival, millis, rtp):
        plain = best(lambda w=work: w(coded=False), len(frames))
        coded = best(lambda w=work: w(coded=True), len(frames))
        print(f"{work.__name__:8} push + spans       {plain}   with decode {coded}")


def cut(pcm, chunk):
    segmenter, events = Segmenter(8000), []
    for i in range(0, len(pcm), chunk):
        events += segmenter.feed(i, pcm[i : i + chunk])
    return [event for event in events + segmenter.close() if isinstance(event, Ended)]


def measure_segmenter(pcm):
    count = len(pcm) // FRAME
    for chunk in (160, 800):
        print(f"segmenter per 20 ms, fed {chunk // 8:3} ms  {best(lambda c=chunk: cut(pcm, c), count)}")
    print(f"segmenter per 20 ms of zeros     {best(lambda: cut(np.zeros(len(pcm), np.int16), 800), count)}")


def evaluate(wav, truth):
    """How much of the speech is in utterances, and how much of these is speech with 200 ms before and 500 ms after."""
    with wave.open(wav) as file:
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    call = json.loads(Path(truth).read_text(encoding="utf-8"))
    for noise in (0, 100, 300):
        for channel, leg in enumerate(call["channels"]):
            clean = audio[:, channel]
            pcm = clean + np.random.default_rng(0).normal(0, noise, len(clean))
            pcm = decode(Codec.PCMU, encode(Codec.PCMU, pcm.clip(-32768, 32767).astype(np.int16)))
            turns = [turn for turn in call["turns"] if turn["leg"] == leg]
            inside, around, got = (np.zeros(len(pcm), bool) for _ in range(3))
            for turn in turns:
                start, stop = int(turn["start"] * 8000), int(turn["end"] * 8000)
                inside[start:stop] = around[max(0, start - 1600) : stop + 4000] = True
            found = cut(pcm, 800)
            for utterance in found:
                got[utterance.start : utterance.stop] = True
            whole = len(clean) // FRAME * FRAME
            energy = np.square(clean[:whole].reshape(-1, FRAME), dtype=np.float64).mean(1)
            inside[:whole] &= np.repeat(energy > 184**2, FRAME)
            print(
                f"{leg:7} noise {noise:3}: recall {(got & inside).sum() / inside.sum():.4f} "
                f"precision {(got & around).sum() / got.sum():.4f} utterances {len(found)} turns {len(turns)}"
            )


def main():
    data = (files("vcond.demo") / "caller.ulaw").read_bytes()
    measure_frames([data[i : i + FRAME] for i in range(0, len(data) - FRAME, FRAME)])
    measure_segmenter(decode(Codec.PCMU, data))
    if len(sys.argv) == 3:
        evaluate(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
