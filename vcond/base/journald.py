"""Log lines for systemd's journal in its own protocol, so that ``journalctl CALL_ID=...`` finds those of a call.

One datagram an entry (systemd, "Native Journal Protocol"): ``NAME=value`` and a line feed; of a value with line feeds the name,
a line feed, its length in 8 bytes little endian, the value, a line feed. What is too large for a datagram goes as a sealed file in
memory, whose descriptor is sent with an empty one. To be used in a thread: a send waits while the journal does not read.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

SOCKET: Final = "/run/systemd/journal/socket"
FIELDS: Final = {
    "call": "CALL_ID", "adapter": "ADAPTER", "sink": "SINK", "outcome": "OUTCOME", "reason": "REASON", "code": "CODE",
}  # fmt: skip
"""Keys of log lines that one searches for: all of them ids, names and fixed words."""
PRIORITIES: Final = {"debug": "7", "info": "6", "warning": "4", "error": "3", "exception": "3", "critical": "2"}
"""syslog(3)."""
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
"""Without them the journal does not take a file."""


def is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether a file is a stream to the journal: ``JOURNAL_STREAM`` has its device and inode, systemd.exec(5)."""
    try:
        there = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{there.st_dev}:{there.st_ino}"


def entry(line: bytes) -> bytes:
    """An entry from a log line, a JSON object; of one that is none, such as a line that was cut off, the text alone."""
    try:
        row: Any = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        return _field("MESSAGE", line.decode("utf-8", "replace").rstrip("\n")) + _field("SYSLOG_IDENTIFIER", "vcond")
    event = str(row.pop("event", ""))
    level = PRIORITIES.get(str(row.pop("level", "")), "6")
    row.pop("timestamp", None)  # the journal has one
    said = (
        f"{key}={value if _is_word(value) else json.dumps(value, ensure_ascii=False)}" for key, value in row.items()
    )
    fields = {"MESSAGE": " ".join([event, *said]), "PRIORITY": level, "SYSLOG_IDENTIFIER": "vcond", "EVENT": event}
    fields |= {name: str(row[key]) for key, name in FIELDS.items() if row.get(key)}
    return b"".join(_field(*field) for field in fields.items())


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and not {*' "='} & {*value} and value != ""


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)


def send(line: bytes, path: str = SOCKET) -> bool:
    """Bring a log line to the journal, however long that takes; whether it is there."""
    data = entry(line)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(data, path)
        except OSError as why:
            return why.errno in {errno.EMSGSIZE, errno.ENOBUFS} and _send_file(sender, data, path)
    return True


def _send_file(sender: socket.socket, data: bytes, path: str) -> bool:
    """What no datagram holds."""
    try:
        with os.fdopen(os.memfd_create("vcond-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", buffering=0) as file:
            file.write(data)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))
            sender.sendmsg([], [rights], 0, path)
    except OSError:
        return False
    return True
