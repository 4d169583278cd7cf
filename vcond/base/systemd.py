"""systemd's notification protocol (sd_notify(3)): one datagram on a unix socket. And sockets that it passes
(sd_listen_fds(3)). Inlined, as both are so small.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

FIRST, MOST = 3, 16
"""The number of the first descriptor that is passed, and how many are looked at."""


def passed_socket(path: str, environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The unix socket at ``path`` that systemd listens on for us; None when it does not. Other sockets are closed.

    The variables are taken out of ``environ``: they are not for those whom we start.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return None
    found = None
    for descriptor in range(FIRST, FIRST + min(int(count), MOST)):
        try:
            one = socket.socket(fileno=descriptor)
        except OSError:
            continue  # no socket
        one.set_inheritable(False)
        if found is None and one.family == socket.AF_UNIX and one.getsockname() == path:
            found = one
        else:
            one.close()
    return found


class Notifier:
    """Tells systemd how the daemon is; does nothing when it was not started by systemd."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        environ = dict(os.environ) if environ is None else environ
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        microseconds = environ.get("WATCHDOG_USEC", "0")
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
        """Seconds within which ``WATCHDOG=1`` is expected; 0 = not wanted."""

    def send(self, **fields: str) -> None:
        """``send(READY="1", STATUS="2 calls")``. Never waits, never raises."""
        if self._socket is None:
            return
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            return  # systemd is gone or its queue is full: it will ask again with its watchdog

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
