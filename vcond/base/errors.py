"""Whose fault an error is. Every room may import this module; it imports nothing of vcond.

The three kinds are different types so that a caller can do the right thing: report what a peer did, tell the
operator what to change, or crash loudly on a mistake of our own. None of the bases can be raised itself, and no
message may hold words spoken, digits dialled, full numbers or secrets.
"""

from __future__ import annotations

import sys
from pathlib import Path


class VcondError(Exception):
    """Base of all; never raised itself."""

    def __init__(self, message: str) -> None:
        if type(self) in {VcondError, PeerError, OperatorError}:
            raise TypeError(f"{type(self).__name__} is a base: raise one of its kinds")
        super().__init__(message)


class PeerError(VcondError):
    """Their fault: what a PBX, a browser, a conserver or a file from outside did."""


class OperatorError(VcondError):
    """The operator's to mend: configuration, permissions, disk, missing models. The message says what to do."""


class BadMediaError(PeerError):
    """A frame that is no audio of the announced codec."""


class ProtocolError(PeerError):
    """Bytes or messages that break the peer's own protocol."""


class UnreachableError(PeerError):
    """A peer that cannot be connected, or hung up on us."""


class RefusedError(PeerError):
    """A peer that understood and said no."""


class ConfigError(OperatorError):
    """A configuration that cannot be used. ``path`` is the key, as in ``adapters.asterisk.url``."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


class MissingExtraError(OperatorError):
    """A part that is not installed; the message holds the command that installs it."""


def is_package() -> bool:
    """Whether vcond is a package of Debian here: ``packaged`` of tools/deb.py says so."""
    return (Path(sys.prefix) / "packaged").exists()


def how_to_install(package: str) -> str:
    """The command that installs ``package``: an extra of vcond's own (``embedded``, ``webrtc``), or another distribution.

    vcond is on no index: its extras come with ``make install`` of a checkout, or are packages of Debian where vcond is one.
    Others go into the environment that runs.
    """
    ours = {"embedded", "siprec", "webrtc"}
    if is_package():
        name = "vcond" if package == "embedded" else "vcond-webrtc"  # SRTP comes with what WebRTC needs
        return (
            f"apt install ./{name}_*.deb"
            if package in ours
            else f"python3 -m pip --python {sys.prefix}/bin/python3 install {package}"
        )
    if package in ours:
        return f"make install{f' WITH={package}' if package != 'embedded' else ''}, as root in the checkout of vcond"
    return f"{sys.prefix}/bin/pip install {package}"


class StorageError(OperatorError):
    """A disk that is full, read-only or broken."""


class InUseError(StorageError):
    """A journal that another process writes."""


class AmbiguousError(OperatorError, LookupError):
    """The beginning of an id that more than one call has."""


SEVERAL = "ambiguous call id prefix: give more of the id"


class JournalError(OperatorError):
    """A journal that cannot be read as what it claims to be."""
