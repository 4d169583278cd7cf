"""``vcond keys``: the keys of what is kept of calls. The daemon must not run while they are changed."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_all
from vcond.cli.output import Json, show

if TYPE_CHECKING:
    from vcond.storage.key_store import KeyStore

keys_app = typer.Typer(help="Keys of what is kept of calls, as [keys] sets them.", no_args_is_help=True)
DAY = 86_400


@keys_app.command("status")
def keys_status(config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """Show whether the master key fits, how many keys there are, and which files are encrypted. Exit 1 when a key is gone."""
    from vcond.app import encryption
    from vcond.storage.key_store import is_wrapped

    loaded = load_all(config).config
    state_dir = Path(loaded.vcond.state_dir)
    store = encryption.key_store(loaded.keys, state_dir, writes=False)
    if store is None:
        told = f"{loaded.keys.store} is made at the next start" if loaded.keys.master else "keys.master is not set"
        show({"keys": None}, as_json, [f"{told}: nothing that is kept of calls is encrypted by vcond yet"])
        return
    with closing(store):
        found = encryption.kept(state_dir, store)
    row = {"store": str(store.folder), "keys": len(store), "encrypt": loaded.keys.encrypt}
    token = loaded.keys.token
    row |= {"token": token.token if is_wrapped(loaded.keys.master) else ""}
    row |= {"encrypted": found.encrypted, "plain": found.plain, "lost": found.lost}
    row |= {"lost_calls": len(found.calls), "lost_undelivered": found.undelivered}
    lines = [
        f"{store.folder}: the master key fits, {len(store)} keys",
        *([f"the master key is opened by key {token.key!r} on token {token.token!r}"] if row["token"] else []),
        f"files of calls: {found.encrypted} encrypted, {found.plain} plain, {found.lost} whose key is gone",
        *([found.told] if found.lost else []),
        f"not encrypted: {encryption.PLAIN}",
    ]
    show(row, as_json, lines)
    raise typer.Exit(1 if found.lost else 0)


@keys_app.command("rotate")
def keys_rotate(
    new: Annotated[
        Path,
        typer.Argument(help="A file with the new master key: openssl rand -base64 32 > FILE, or vcond keys wrap FILE."),
    ],
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Wrap all keys with a new master key: all of them or none. Then set keys.master to it. Not while the daemon runs."""
    from vcond.app.encryption import token_key
    from vcond.storage.key_store import master_key

    master = master_key(str(new), token_key(load_all(config).config.keys))
    with closing(_opened(config)) as store:
        count = store.rotate(master)
    line = f"{count} keys are wrapped with the new master key: set keys.master to it before the next start"
    show({"keys": count}, as_json, [line])


@keys_app.command("wrap")
def keys_wrap(
    to: Annotated[Path, typer.Argument(help="The file; it must not exist yet.")],
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Make a master key that only the PKCS#11 token of [keys.token] opens. For a start, or for vcond keys rotate."""
    import os

    from vcond.app.encryption import token_key
    from vcond.base.errors import ConfigError, StorageError
    from vcond.storage.files import Files
    from vcond.storage.key_store import MASTER
    from vcond.storage.whole_files import WholeFiles

    token = token_key(load_all(config).config.keys)
    if token is None:
        raise ConfigError("is not set: name the token's library, its label and its key", "keys.token.module")
    if to.exists():
        raise StorageError(f"{to} is there already: name another file")
    text = token.wrap(os.urandom(MASTER))
    try:
        WholeFiles(Files()).publish(to.absolute(), f"{text}\n".encode())
    except OSError as why:
        raise StorageError(f"cannot write {to}: {why.strerror}") from None
    line = f"{to}: a new master key, which only token {token.token!r} opens; vcond's user must be able to read the file"
    show({"file": str(to), "token": token.token}, as_json, [line])


@keys_app.command("export")
def keys_export(
    to: Annotated[Path, typer.Argument(help="The file; it must not exist yet.")],
    days: Annotated[int, typer.Option(help="Days for which the copy can be restored.", min=1, max=366)] = 30,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Copy all keys, wrapped by the master key, into a file: a backup of their own. A key that is erased later is still in it."""
    from vcond.base.errors import StorageError
    from vcond.base.time import SECOND, Instant, rfc3339
    from vcond.storage.files import Files
    from vcond.storage.whole_files import WholeFiles

    ends = int(time.time()) + days * DAY
    with closing(_opened(config, writes=False)) as store:
        try:
            if to.exists():
                raise StorageError(f"{to} is there already: name another file")
            WholeFiles(Files()).publish(to.absolute(), store.export(ends))
        except OSError as why:
            raise StorageError(f"cannot write {to}: {why.strerror}") from None
    told = rfc3339(Instant(ends * SECOND))
    show({"file": str(to), "keys": len(store), "ends": told}, as_json, [f"{to}: {len(store)} keys, until {told}"])


@keys_app.command("restore")
def keys_restore(
    copy: Annotated[Path, typer.Argument(help="What vcond keys export wrote, under the same master key.")],
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Take back keys that are lost. Keys that were erased since the copy come back, too. Not while the daemon runs."""
    from vcond.app import encryption
    from vcond.base.errors import StorageError
    from vcond.storage.files import Files
    from vcond.storage.key_store import MOST
    from vcond.storage.whole_files import WholeFiles

    try:
        raw = WholeFiles(Files()).read(copy.absolute(), MOST)
    except OSError as why:
        raise StorageError(f"cannot read {copy}: {why.strerror}") from None
    with closing(_opened(config, lost=True)) as store:
        count = store.restore(raw)
        left = encryption.kept(Path(load_all(config).config.vcond.state_dir), store)
    row = {"keys": count, "lost_calls": len(left.calls), "lost_undelivered": left.undelivered}
    show(row, as_json, [f"{count} keys are back", *([left.told] if left.lost else [])])


def _opened(config: Path, *, writes: bool = True, lost: bool = False) -> KeyStore:
    """The keys. Raises ConfigError, InUseError, StorageError."""
    from vcond.app import encryption
    from vcond.base.errors import ConfigError
    from vcond.cli.recover import as_its_owner

    loaded = load_all(config).config
    if writes:
        as_its_owner(Path(loaded.vcond.state_dir))
    store = encryption.key_store(loaded.keys, Path(loaded.vcond.state_dir), writes=writes, lost=lost)
    if store is None:
        raise ConfigError("is not set, or no key was made yet: there are no keys", "keys.master")
    return store
