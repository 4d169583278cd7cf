"""What other machines send to the speech queue, workers to us, and archives of models, changed anywhere."""

from __future__ import annotations

import io
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from vcond.base.errors import ProtocolError, StorageError
from vcond.speech.models.unpack import unzip
from vcond.speech.queue import messages as queue
from vcond.speech.workers import messages as workers
from vcond.testing.changed import spoiled

PIECES = [b"\x91" * 3000, b"\x81\xa1a" * 2000, b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xa1\xff", b"\xc0", b"\xcb\x7f\xf8" + bytes(6), b"\0"]  # fmt: skip
SENT = [workers.pack(workers.Said(1, "hello"))[4:], workers.pack(workers.Feed(1, bytes(40)))[4:]]
JOB = queue.QueuedUtterance("c", 0, 0, 160, 8000, bytes(32), 1.0, b"fLaC", "en", ["vcond"])
BODIES = [queue.pack(JOB), queue.pack(queue.Answer("m", engine="vosk", text=queue.Text("hello")))]
QUEUED = [queue.Cipher().seal("job", "0" * 64, "edge", 1, body) for body in BODIES]


@pytest.mark.fuzz
def test_messages_of_the_queue_and_of_workers_are_read_or_break_the_protocol(fuzz):
    for chance in fuzz.rounds(20_000):
        with suppress(ProtocolError):
            queue.envelope(spoiled(chance.choice(QUEUED), chance, PIECES))
        data = spoiled(chance.choice(BODIES), chance, PIECES)
        for read in (queue.job, queue.answer):
            with suppress(ProtocolError):
                read(data)
        body = spoiled(chance.choice(SENT), chance, PIECES)
        for hear in (workers.request, workers.answer):
            with suppress(ProtocolError):
                hear(body)


def archive(kind: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as into:
        into.writestr("model/conf/model.conf", "--sample-frequency=16000\n" * 20)
        into.writestr("model/README", "a model")
    return made.getvalue()


@pytest.mark.fuzz
def test_an_archive_that_was_changed_is_unpacked_or_refused_and_nothing_lies_outside(tmp_path: Path, fuzz):
    made = [archive(kind) for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]
    pieces = [b"PK\1\2", b"PK\5\6", b"PK\3\4", b"\xff" * 4, b"\0\0", b"../", b"/", b"\x0e\0", b"\x0c\0", b"\x63\0", b"\xff\xff\xff\x7f"]  # fmt: skip
    file, folder = tmp_path / "in" / "model.zip", tmp_path / "in" / "out"
    file.parent.mkdir()
    for chance in fuzz.rounds(500):
        file.write_bytes(spoiled(chance.choice(made), chance, pieces))
        with suppress(ProtocolError, StorageError):
            unzip(file, folder)
        shutil.rmtree(folder, ignore_errors=True)
        assert {one.name for one in tmp_path.iterdir()} == {"in"}
