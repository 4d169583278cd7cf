"""Calls: of the running daemon, else as their journals tell them. Those are read only when nobody answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcond.base.errors import SEVERAL, AmbiguousError, JournalError, RefusedError, StorageError
from vcond.cli.admin_client import NotRunningError, ask
from vcond.config import DaemonConfig
from vcond.storage.files import Files

if TYPE_CHECKING:
    from vcond.call.state import Call


def summaries(config: DaemonConfig, files: Callable[[], Files] = Files) -> list[dict[str, Any]]:
    """Calls of the running daemon, else of the journals; ``daemon`` says which. ``files`` reads those."""
    try:
        rows: list[dict[str, Any]] = ask(config.admin_socket, "calls")
    except NotRunningError as why:
        from vcond.publish.summary import summary

        left = [summary(state) | {"daemon": False} for _, state in found_in_journals(config, files)]
        if not left:  # "no calls" alone reads as if it ran
            print(f"vcond: {why}", file=sys.stderr)
        return left
    return [row | {"daemon": True} for row in rows]


def find(config: DaemonConfig, uuid: str, files: Callable[[], Files] = Files) -> dict[str, Any]:
    """One call by the beginning of its id: a live one, else one in the journals, else where its vCon went.

    Raises RefusedError, AmbiguousError when more than one call begins so.
    """
    running = True
    try:
        row: dict[str, Any] = ask(config.admin_socket, "call", call=uuid)
    except AmbiguousError:
        raise
    except (NotRunningError, RefusedError) as why:
        running = not isinstance(why, NotRunningError)
    else:
        return row | {"daemon": True}
    try:
        found = [state for _, state in found_in_journals(config, files, uuid)]
    except StorageError:
        if not running:
            raise
        found = []  # the group may ask, and not read journals
    if len(found) > 1:
        raise AmbiguousError(SEVERAL)
    if found:
        from vcond.publish.summary import detail

        return detail(found[0]) | {"daemon": running}
    if not running:
        more = "; only a running vcond knows where delivered calls are"
        raise RefusedError(f"no call {uuid!r} in the journals, and vcond is not running{more}")
    try:
        gone: dict[str, Any] = ask(config.admin_socket, "vcon", call=uuid)
    except AmbiguousError:
        raise
    except RefusedError:
        raise RefusedError(f"no call {uuid!r}: it is not active, not in the journals and not delivered") from None
    return gone


def found_in_journals(
    config: DaemonConfig, files: Callable[[], Files] = Files, uuid: str = ""
) -> list[tuple[Path, Call]]:
    """Every journal whose call begins so and that can be read: its folder and its call. One of a call that was forgotten is none.

    Raises StorageError, and JournalError or StorageError of one that was asked for and cannot be read.
    """
    root = Path(config.state_dir) / "journal"
    try:
        folders = sorted(root.iterdir())
    except FileNotFoundError:
        return []
    except OSError as why:
        raise StorageError(
            f"cannot read {root}: {why.strerror}; only root and vcond's user can read the journals"
        ) from None
    if not folders:
        return []
    from vcond.call.state import fold
    from vcond.journal import read_folder
    from vcond.records.tombstones import gone

    states, disk, is_gone = [], files(), gone(Path(config.state_dir))
    for folder in folders:
        if is_gone(folder.name):
            continue
        if folder.is_dir() and not folder.name.startswith(".") and folder.name.startswith(uuid):
            try:
                state = fold(read_folder(folder, disk)[0])
            except (JournalError, StorageError):
                if uuid:
                    raise
                continue  # `vcond recover` names it
            if state.uuid:
                states.append((folder, state))
    return states


def check_not_gone(folder: Path) -> None:
    """Raises JournalError for what is left of the journal of a call that was forgotten."""
    from vcond.records.tombstones import gone

    at = folder.absolute()
    if gone(at.parent.parent)(at.name):
        raise JournalError(f"{folder} is of a call that was forgotten: vcond removes what is left of it when it starts")
