"""A master key that only a PKCS#11 token opens: it is kept in a file, encrypted by an AES key that never leaves the token.

The token does AES-GCM itself (PKCS#11 2.40 section 2.12.5); python-pkcs11 talks to it. Decision 0051. Blocks.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vcond.base.errors import ConfigError, MissingExtraError, how_to_install

if TYPE_CHECKING:
    from pkcs11 import Key

MARK: Final = "vcond-token-1:"
"""Begins what a token encrypted; base64 of nonce, ciphertext and tag follows."""
_NONCE: Final = 12
_TAG_BITS: Final = 128
_BOUND: Final = b"vcond master key"
_AT: Final = "keys.token"
_WHY: Final = {
    "NoSuchToken": ("token", "is not there: plug it in, or start what serves it"),
    "MultipleTokensReturned": ("token", "is the label of several tokens: give them others"),
    "TokenNotPresent": ("token", "is not there: plug it in, or start what serves it"),
    "PinIncorrect": ("pin", "is not the one of the token: correct it before the token locks itself"),
    "PinInvalid": ("pin", "is none that the token takes"),
    "PinLenRange": ("pin", "is none that the token takes"),
    "PinLocked": ("pin", "is locked after too many wrong ones: unlock the token"),
    "NoSuchKey": ("key", "is the label of no AES key on the token: make one, as docs/operations.md says"),
    "MultipleObjectsReturned": ("key", "is the label of several AES keys on the token: give them others"),
    "MechanismInvalid": ("key", "cannot be used: the token does no AES-GCM"),
    "KeyFunctionNotPermitted": ("key", "may not encrypt and decrypt, as the token has it"),
}
"""By python-pkcs11's name of an error: which configuration key it is about, and what to do."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """An AES key on a token. Methods raise ConfigError in one line, MissingExtraError without python-pkcs11."""

    module: str
    """The shared library that talks to the token."""
    token: str
    """Its label."""
    key: str
    """The label of the key on it."""
    pin: str = field(repr=False)

    def wrap(self, master: bytes) -> str:
        """A master key as it may be kept in a file."""
        nonce = os.urandom(_NONCE)
        body = self._by_token(nonce, lambda key, gcm: key.encrypt(master, **gcm))
        return MARK + base64.b64encode(nonce + body).decode()

    def unwrap(self, text: str) -> bytes:
        """What ``wrap`` was given."""
        try:
            raw = base64.b64decode(text.strip().removeprefix(MARK), validate=True)
        except binascii.Error:
            raise ConfigError("the wrapped master key was damaged: restore it from a copy", "keys.master") from None
        return self._by_token(raw[:_NONCE], lambda key, gcm: key.decrypt(raw[_NONCE:], **gcm))

    def _by_token(self, nonce: bytes, job: Callable[[Any, dict[str, Any]], bytes]) -> bytes:
        with self._opened() as key:
            from pkcs11 import GCMParams, Mechanism
            from pkcs11.exceptions import PKCS11Error

            gcm = {"mechanism": Mechanism.AES_GCM, "mechanism_param": GCMParams(nonce, _BOUND, _TAG_BITS)}
            try:
                return job(key, gcm)
            except PKCS11Error as why:
                if type(why).__name__ in _WHY:
                    raise
                said = "the token does not open it: it was wrapped by another key, or damaged; nothing was changed"
                raise ConfigError(said, "keys.master") from None

    @contextmanager
    def _opened(self) -> Iterator[Key]:
        if not Path(self.module).is_absolute():
            raise ConfigError("must be the absolute path of the token's library", f"{_AT}.module")
        if find_spec("pkcs11") is None:
            raise MissingExtraError(f"{_AT} needs python-pkcs11: {how_to_install('python-pkcs11')}")
        from pkcs11 import KeyType, ObjectClass, lib
        from pkcs11.exceptions import PKCS11Error

        try:
            library = lib(self.module)
        except (PKCS11Error, RuntimeError):
            raise ConfigError(f"cannot load {self.module}", f"{_AT}.module") from None
        try:
            with library.get_token(token_label=self.token).open(user_pin=self.pin) as session:
                yield session.get_key(label=self.key, key_type=KeyType.AES, object_class=ObjectClass.SECRET_KEY)
        except PKCS11Error as why:
            name = type(why).__name__
            at, said = _WHY.get(name, ("token", f"failed ({name}): see the log of what serves it"))
            shown = "" if at == "pin" else f"{getattr(self, at)!r} "
            raise ConfigError(f"{shown}{said}; nothing was changed", f"{_AT}.{at}") from None
        finally:
            library.finalize()  # the token is asked at a start, and let go
