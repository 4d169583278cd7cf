"""Asking a running daemon through its admin socket: with the standard library, whose import takes no second."""

from __future__ import annotations

import getpass
import json
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from vcond.base.errors import AmbiguousError, OperatorError, ProtocolError, RefusedError, UnreachableError

TIMEOUT = 30.0
"""Seconds without a byte of an answer."""
LONGEST_LINE = 1 << 16
"""Bytes of a line of the live feed."""
START = "start it with systemctl start vcond, or deliver what is in its journals with vcond recover"


class NotRunningError(OperatorError):
    """No daemon answers on the admin socket."""


class NoAccessError(OperatorError):
    """This user may not ask."""


class _Connection(HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("vcond", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Raises NotRunningError, NoAccessError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(self._path)
        except PermissionError:
            raise NoAccessError(_no_access(self._path)) from None
        except (ConnectionRefusedError, FileNotFoundError):
            gone = "vcond has died or was stopped"
            raise NotRunningError(f"no daemon answers at {self._path}: {gone}; {START}") from None


def _no_access(path: str) -> str:
    return f"{getpass.getuser()} may not use {path}: run it as root, or join its group: usermod -aG vcond NAME, then log in again"


def ask(path: str, name: str, *, write: bool = False, **query: str) -> Any:
    """``GET /v1/name`` (or POST) of the socket at ``path``, as decoded JSON.

    Raises NotRunningError without a daemon, NoAccessError, RefusedError for what it does not do, UnreachableError when it
    hangs, ProtocolError when something else answers.
    """
    with _answer(path, name, "POST" if write else "GET", query) as answer:
        return _decoded(path, answer.read())


def follow(path: str, call: str) -> Iterator[dict[str, Any]]:
    """What is said and happens in a call from now on, until its end. Raises as ``ask``."""
    with _answer(path, "live", "GET", {"call": call}) as answer:
        while line := answer.readline(LONGEST_LINE):
            yield _decoded(path, line)


@contextmanager
def _answer(path: str, name: str, method: str, query: dict[str, str]) -> Iterator[HTTPResponse]:
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise NotRunningError(f"no daemon at {path}: this is not a socket")
    except PermissionError:
        raise NoAccessError(_no_access(path)) from None
    except OSError:
        raise NotRunningError(f"no daemon at {path}: is vcond running? {START}") from None
    connection = _Connection(path)
    try:
        connection.request(method, f"/v1/{name}?{urlencode(query)}")
        answer = connection.getresponse()
        if answer.status >= 400:
            said = answer.read(LONGEST_LINE).decode("utf-8", "replace").strip()
            raise AmbiguousError(said) if answer.status == 409 else RefusedError(said)
        if name == "live":
            connection.sock.settimeout(None)  # nobody says anything for hours
        yield answer
    except (HTTPException, OSError) as why:
        raise UnreachableError(f"the daemon at {path} did not answer ({type(why).__name__})") from None
    finally:
        connection.close()


def _decoded(path: str, text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ProtocolError(f"what answers at {path} is not vcond: its answer is not JSON") from None
