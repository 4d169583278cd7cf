"""systemd's notification protocol (sd_notify(3)): one datagram on a unix socket. Inlined, as it is so small."""

from __future__ import annotations

import os
import socket


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
