"""A WHIP client of FFmpeg: the muxer of its libraries, as PyAV carries them, in a process of its own.

``ffmpeg_whip.py FILE URL``, with the token in WHIP_TOKEN: FILE is 48 kHz mono, 16 bit, bare. Each frame leaves when its time has come, or at once
when that is past: its RTP timestamp says when it was spoken. Prints one line of JSON: how many packets it sent. FFmpeg
sends the DELETE when the muxer is closed, and does not say how it was answered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

RATE, FRAME = 48_000, 960


def certificate(folder: Path) -> dict[str, str]:
    """FFmpeg's options for one on P-256: what it makes by itself with GnuTLS is on a curve that OpenSSL does not take."""
    files = {"cert_file": str(folder / "certificate"), "key_file": str(folder / "key")}
    make = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=whip",
    )
    subprocess.run([*make, "-out", files["cert_file"], "-keyout", files["key_file"]], check=True, capture_output=True)
    return files


def publish(url: str, options: dict[str, str], samples: np.ndarray) -> int:
    """How many packets were sent."""
    sent = 0
    with av.open(url, "w", format="whip", options=options) as whip:
        stream = whip.add_stream("libopus", rate=RATE, layout="stereo")
        whip.start_encoding()
        begun = time.monotonic()
        for i in range(len(samples) // FRAME):
            time.sleep(max(0.0, begun + i * FRAME / RATE - time.monotonic()))
            both = np.repeat(samples[i * FRAME : (i + 1) * FRAME], 2)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, i * FRAME, Fraction(1, RATE)
            for packet in stream.encode(frame):
                whip.mux(packet)
                sent += 1
        for packet in stream.encode():
            whip.mux(packet)
            sent += 1
    return sent


def main() -> None:
    file, url = sys.argv[1:]
    with TemporaryDirectory() as folder:
        options = {"authorization": os.environ["WHIP_TOKEN"], **certificate(Path(folder))}
        sent = publish(url, options, np.frombuffer(Path(file).read_bytes(), np.int16))
    print(json.dumps({"sent": sent, "libavformat": av.library_versions["libavformat"]}))


if __name__ == "__main__":
    main()
