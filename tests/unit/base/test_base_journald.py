"""Lines in the journal's own protocol: read as systemd documents it, and by a real systemd-journald."""

from __future__ import annotations

import array
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vcond.base import log
from vcond.base.journald import entry, is_journal, send
from vcond.testing.needs import needs

JOURNALD = Path("/usr/lib/systemd/systemd-journald")


def parsed(data: bytes) -> dict[str, str]:
    """An entry, as "Native Journal Protocol" of systemd says."""
    fields = {}
    while data:
        head, _, data = data.partition(b"\n")
        name, told, value = head.partition(b"=")
        if not told:
            size = int.from_bytes(data[:8], "little")
            value, end, data = data[8 : 8 + size], data[8 + size : 9 + size], data[9 + size :]
            assert end == b"\n"
        assert name.decode().isupper()
        assert len(name) <= 64
        fields[name.decode()] = value.decode()
    return fields


class Fake:
    """Reads as systemd-journald does."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)

    def read(self) -> dict[str, str]:
        data, rights, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if data:
            return parsed(data)
        ((_, _, sent),) = rights
        (descriptor,) = array.array("i", sent)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            assert fcntl.fcntl(file, fcntl.F_GET_SEALS) == 0xF
            file.seek(0)
            return parsed(file.read())


@pytest.fixture
def fake(tmp_path: Path):
    made = Fake(tmp_path / "socket")
    with made.socket:
        yield made


def line(**row: object) -> bytes:
    return json.dumps(row).encode() + b"\n"


def test_what_one_searches_for_are_fields_and_everything_is_in_the_message():
    row = {
        "call": "01a2",
        "adapter": "asterisk",
        "error": "two words",
        "count": 3,
        "event": "call ended",
        "level": "error",
    }
    assert parsed(entry(line(**row, timestamp="2026-11-30T01:00:00Z"))) == {
        "MESSAGE": 'call ended call=01a2 adapter=asterisk error="two words" count=3',
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "vcond",
        "EVENT": "call ended",
        "CALL_ID": "01a2",
        "ADAPTER": "asterisk",
    }


def test_no_value_becomes_a_field_or_a_line_of_its_own():
    told = parsed(entry(line(event="a\nCALL_ID=x", call="u\nPRIORITY=0", secret="s=1", half="\ud800", level="warning")))
    assert told["MESSAGE"] == 'a\nCALL_ID=x call="u\\nPRIORITY=0" secret="s=1" half="\\ud800"'
    assert (told["CALL_ID"], told["PRIORITY"]) == ("u\nPRIORITY=0", "4")
    assert told.keys() == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "EVENT", "CALL_ID"}


def test_a_line_that_is_no_object_is_a_message():
    for text in ('{"event": "cut o', "words", "3"):
        assert parsed(entry(text.encode() + b"\n")) == {"MESSAGE": text, "SYSLOG_IDENTIFIER": "vcond"}


def test_small_ones_are_datagrams_and_large_ones_sealed_files(fake: Fake):
    assert send(line(event="small"), fake.path)
    assert fake.read()["MESSAGE"] == "small"
    assert send(line(event="x" * 5_000_000), fake.path)
    assert fake.read()["MESSAGE"] == "x" * 5_000_000


def test_only_a_stream_to_the_journal_is_one(tmp_path: Path):
    with (tmp_path / "file").open("w") as file:
        there = os.fstat(file.fileno())
        stream = f"{there.st_dev}:{there.st_ino}"
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": stream})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": stream + "1"})
        assert not is_journal(file.fileno(), {})
        assert not is_journal(-1, {"JOURNAL_STREAM": stream})


def test_a_journal_that_does_not_read_keeps_nobody_waiting_and_what_it_missed_is_counted(fake: Fake, tmp_path: Path):
    with (tmp_path / "stderr").open("w") as stderr:
        writer = log.Writer(stderr)
        writer.journal = fake.path
        wanted = log.MAX_LINES + 2000
        for number in range(wanted):
            writer.write(f'{{"event": "{number}"}}\n')
        assert not writer.drain(0.01)
        lost = writer._dropped
        assert 0 < lost <= 2000
        read = [int(fake.read()["MESSAGE"]) for _ in range(wanted - lost)]
        assert read == sorted(set(read))
        assert writer.drain(60)
    assert not (tmp_path / "stderr").read_text()


def test_without_a_journal_lines_go_to_standard_error_and_to_it_again_when_it_is_back(tmp_path: Path):
    with (tmp_path / "stderr").open("w") as stderr:
        writer = log.Writer(stderr)
        writer.journal = str(tmp_path / "socket")
        writer.write("away\n")
        assert writer.drain(60)
        assert (tmp_path / "stderr").read_text() == "away\n"
        fake = Fake(tmp_path / "socket")
        writer.write("back\n")
        assert fake.read()["MESSAGE"] == "back"
        fake.socket.close()


SCRIPT = """
import logging, os, sys, structlog
from vcond.base import journald, log
there = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{there.st_dev}:{there.st_ino}"
journald.SOCKET = sys.argv[1]
log.configure("info", sys.argv[2])
structlog.get_logger().bind(adapter="asterisk").info("call started", call="01a2")
logging.getLogger("aiohttp").error("of others")
"""


def logged(journal: str, style: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, journal, style], check=True, capture_output=True, text=True)
    return done.stderr


def test_a_process_of_systemd_logs_to_the_journal_unless_another_form_is_asked_for(fake: Fake):
    assert logged(fake.path, "auto") == ""
    first, second = fake.read(), fake.read()
    assert (first["CALL_ID"], first["ADAPTER"], first["PRIORITY"]) == ("01a2", "asterisk", "6")
    assert (second["MESSAGE"], second["PRIORITY"]) == ("of others", "3")
    assert json.loads(logged(fake.path, "json").splitlines()[0])["call"] == "01a2"


IN_A_ROOT_OF_ITS_OWN = """
ls -d /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/systemd 2>/dev/null | grep -q . || exit 77 # it does not start without
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal /run/own || exit 77
printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\n' >/run/systemd/journald.conf.d/own.conf
echo 0123456789abcdef0123456789abcdef >/run/own/machine-id && mount --bind /run/own/machine-id /etc/machine-id || exit 77
"$1" &
journald=$!
until [ -S /run/systemd/journal/socket ]; do kill -0 $journald || exit 1; done
"$2" -c "$3" /run/systemd/journal/socket auto
journalctl --sync
journalctl --directory /run/log/journal --output json CALL_ID=01a2
kill $journald
wait
"""


@pytest.mark.peer
def test_journalctl_finds_the_lines_of_a_call():
    there = JOURNALD.exists() and Path("/etc/machine-id").exists() and shutil.which("journalctl")
    needs(there, "systemd-journald is missing: apt-get install systemd")
    command = ["unshare", "--mount", "sh", "-c", IN_A_ROOT_OF_ITS_OWN, "sh", JOURNALD, sys.executable, SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 77 or done.stderr.startswith("unshare: "):
        pytest.skip("mounting needs rights and a root that is a mount, systemd-journald a kernel with cgroups")
    (found,) = [json.loads(row) for row in done.stdout.splitlines()]
    assert found["MESSAGE"] == "call started adapter=asterisk call=01a2"
    assert (found["_TRANSPORT"], found["PRIORITY"], found["ADAPTER"]) == ("journal", "6", "asterisk")
