#!/usr/bin/env bash
# soundfile 0.14.0: Python file objects cannot be written in a process that systemd keeps from writable and executable
# memory; paths can. One that made a callback before it was bound goes on.
#
# Seen, with Linux 6.18 and prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN), which is what MemoryDenyWriteExecute=yes asks for:
#   soundfile.write(io.BytesIO(), …) raises MemoryError "Cannot allocate write+execute memory for ffi.callback()":
#   libsndfile's virtual I/O is bound by cffi callbacks, which are made as code at run time.
#   The same samples written to a path, here of a memfd in /proc/self/fd, are well: no callback is needed. The message says
#   memory, and nothing is short of it.
# What follows: a service that is hardened like this gives libsndfile paths (a memfd where nothing may reach the disk).
# Needs Linux 6.3 or later.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install soundfile==0.14.0 cffi==2.1.1 numpy
cd "$folder"
cat > seen.py <<'PY'
import ctypes, io, os, sys

import numpy, soundfile

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
samples = numpy.arange(800, dtype=numpy.int16)


def tried(job):
    try:
        return job() or "well"
    except MemoryError as why:
        return f"MemoryError: {str(why).partition('.')[0]}"


def by_path():
    fd = os.memfd_create("samples")
    soundfile.write(f"/proc/self/fd/{fd}", samples, 8000, format="FLAC")
    back, rate = soundfile.read(f"/proc/self/fd/{fd}", dtype="int16")
    assert rate == 8000 and (back == samples).all()


def all_ways():
    return {
        "write": tried(lambda: soundfile.write(io.BytesIO(), samples, 8000, format="FLAC")),
        "path": tried(by_path),
    }


if "bound" in sys.argv:  # before the first callback: memory for them that is there already stays as it is
    if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        sys.exit("this kernel has no PR_SET_MDWE: nothing is shown")
    found = all_ways()
    print("bound:", found)
    assert found == {"write": "MemoryError: Cannot allocate write+execute memory for ffi", "path": "well"}
else:
    found = all_ways()
    print("free: ", found)
    assert set(found.values()) == {"well"}
PY
"$folder/venv/bin/python" seen.py
"$folder/venv/bin/python" seen.py bound
echo "as described"
