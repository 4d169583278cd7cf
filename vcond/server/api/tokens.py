"""Who may use the API: tokens with roles, of which only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final, Literal, get_args

import msgspec

from vcond.base.errors import StorageError
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

Role = Literal["watch", "read", "operate", "erase", "admin"]
"""watch: calls that go on, and what is said in them; numbers are masked. read: finished vCons, whole. operate: pause and resume,
deliveries and dead letters, how the daemon is. erase: ask for conversations to be forgotten, and nothing else. admin: all of it."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)
_LATER: Final[frozenset[Role]] = frozenset({"erase"})
"""Roles that the first version with tokens did not know: their file would be damaged to it if they stood among the others."""
MOST: Final = 1000
"""Tokens that there may be."""
LARGEST: Final = 1 << 20
"""Bytes of their file."""
MOST_NAME: Final = 64
LONGEST_DAYS: Final = 3660
_MARK: Final = "vcond"
_DAY: Final = 86_400


class Token(msgspec.Struct, frozen=True):
    """One, as it is kept."""

    id: str
    name: str
    """What the operator calls it: who uses it."""
    roles: tuple[Role, ...]
    """Those that every version knows; see ``all_roles``."""
    sha256: str
    """Of its secret, in hex. The secret has 256 bits of chance, so that it needs no slow hash."""
    created: int
    """Seconds since the epoch, as ``expires``."""
    expires: int
    later: tuple[Role, ...] = ()
    """Roles that earlier versions do not know: to them the token is one without."""

    @property
    def all_roles(self) -> tuple[Role, ...]:
        """What it may."""
        return self.roles + self.later


def roles_of(names: Sequence[str]) -> tuple[Role, ...]:
    """Raises ValueError when there are none, or others."""
    known = tuple(role for role in ROLES if role in names)
    if not known or set(names) - set(ROLES):
        raise ValueError(f"the roles are: {', '.join(ROLES)}")
    return known


class Tokens:
    """All of them. What blocks says so; the rest is in memory."""

    def __init__(self, file: Path, files: Files, now: Callable[[], float]) -> None:
        """``now``: seconds since the epoch."""
        self._file, self._whole, self._now = file, WholeFiles(files), now
        self._tokens: dict[str, Token] = {}
        self._changing = Lock()
        self.trouble = ""
        """Why the file cannot be read: then no token is good, and none is made."""

    def load(self) -> None:
        """Blocks. A file that cannot be read lets nobody in, and is left for the operator to look at."""
        try:
            kept = msgspec.json.decode(self._whole.read(self._file, LARGEST), type=list[Token])
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as why:
            told = why.strerror if isinstance(why, OSError) else "it is damaged"
            self.trouble = f"cannot read {self._file}: {told}; move it away and make new tokens"
            return
        self._tokens = {token.id: token for token in kept[:MOST]}

    def create(self, name: str, roles: Sequence[str], days: int) -> str:
        """A new token, durably kept as a hash; what is returned is nowhere else. Blocks. Raises ValueError, StorageError."""
        if not 1 <= len(name) <= MOST_NAME or not name.isprintable():
            raise ValueError(f"the name must have 1 to {MOST_NAME} printable characters")
        known = roles_of(roles)
        if not 1 <= days <= LONGEST_DAYS:
            raise ValueError(f"a token is good for 1 to {LONGEST_DAYS} days")
        now = int(self._now())
        key, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._changing:
            left = {one.id: one for one in self._tokens.values() if one.expires > now}
            if len(left) >= MOST:
                raise ValueError(f"there are {MOST} tokens: revoke some first")
            first, later = (tuple(one for one in known if (one in _LATER) is new) for new in (False, True))
            self._keep(left | {key: Token(key, name, first, hash_of(secret), now, now + days * _DAY, later)})
        return f"{_MARK}_{key}_{secret}"

    def revoke(self, key: str) -> Token:
        """One is not good any more; when it returns that is on the disk. Blocks. Raises LookupError, StorageError."""
        with self._changing:
            token = self._tokens.get(key)
            if token is None:
                raise LookupError(f"there is no token with the id {key[:MOST_NAME]!r}: vcond token list")
            self._keep({one.id: one for one in self._tokens.values() if one is not token})
        return token

    def get(self, key: str) -> Token | None:
        """A token that is good now, by its id."""
        token = self._tokens.get(key)
        return token if token is not None and token.expires > self._now() else None

    def find(self, text: str) -> Token | None:
        """The token that a request shows, when it is good now. As long for a wrong one as for a right one."""
        mark, _, rest = text.partition("_")
        key, _, secret = rest.partition("_")
        token = self.get(key)
        same = hmac.compare_digest(hash_of(secret), token.sha256 if token else hash_of(""))
        return token if same and mark == _MARK else None

    def list(self) -> list[Token]:
        """All that are kept, the newest last."""
        return list(self._tokens.values())

    def _keep(self, tokens: dict[str, Token]) -> None:
        """First on the disk, then in force."""
        if self.trouble:
            raise StorageError(self.trouble)
        try:
            self._whole.publish(self._file, msgspec.json.encode(list(tokens.values())))
        except OSError as why:
            raise StorageError(f"cannot write {self._file}: {why.strerror}") from None
        self._tokens = tokens


def hash_of(secret: str) -> str:
    """Secrets are looked up by their hash, so that the time of a look-up tells nothing of them."""
    # aiohttp hands on bytes that are no UTF-8 as lone surrogates
    return hashlib.sha256(secret.encode("utf-8", "backslashreplace")).hexdigest()
