"""The process of one link; ``link_sink`` starts it. It is told once which link, then shown vCons, and answers with those to be made."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import islice
from typing import Any, Final

import msgspec

from vcond.base.errors import OperatorError, VcondError
from vcond.publish.apart import LARGEST, work
from vcond.sdk.link import MOST, LinkedVcon, LinkOptions, linked
from vcond.vcon import Document, read, serialize
from vcond.vcon.model import EXTENSIONS

ROOM: Final = 1 << 16
"""Bytes of a message beside the vCons in it."""


class Started(msgspec.Struct, frozen=True, array_like=True):
    """Which link: ``module:class``, its name, what it is made with."""

    target: str
    name: str
    options: LinkOptions
    most: int
    """Bytes of a vCon that it makes."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a link makes of one vCon."""

    made: list[tuple[str, bytes]] = []
    """Relation and bytes of each."""
    error: str = ""
    """Why it made nothing; empty = it looked."""


def worked(link: Any, name: str, body: bytes, most: int) -> Answer:
    """What a link makes of a vCon, or why it does not. ``most``: bytes of each."""
    try:
        vcon = read(body)
        if unknown := [name for name in critical(vcon) if name not in EXTENSIONS]:
            return Answer(
                error=f"the vCon says that nobody may process it who does not know {unknown[0][:64]!r} (critical)"
            )
        made = list(islice(link.work(vcon), MOST + 1))
        if len(made) > MOST:
            return Answer(error=f"it makes more than {MOST} vCons of one")
        if wrong := [
            one for one in made if not isinstance(one, LinkedVcon) or one.relation not in {"amended", "redacted"}
        ]:
            return Answer(error=f"it gives {type(wrong[0]).__name__}, which is no LinkedVcon of the contract")
        return _whole([(one.relation, serialize(linked(vcon, one, name, at))) for at, one in enumerate(made)], most)
    except (OperatorError, VcondError) as why:
        return Answer(error=str(why))
    except Exception as why:  # noqa: BLE001 - whatever somebody's link does; its text may hold what was said
        return Answer(error=f"it failed with {type(why).__name__}")


def _whole(made: list[tuple[str, bytes]], most: int) -> Answer:
    """As long as it may be, or why it is not: a message that is too long would only be an end without an answer."""
    sizes = [len(body) for _, body in made]
    if max(sizes, default=0) > most:
        return Answer(error=f"it makes a vCon of {max(sizes)} bytes: {most} are taken here")
    if sum(sizes) > LARGEST - ROOM:
        return Answer(error=f"what it makes of one vCon has {sum(sizes)} bytes: {LARGEST - ROOM} are taken here")
    return Answer(made)


def critical(vcon: Document) -> list[str]:
    """What is ``critical`` in a vCon (core-04 section 4.1.5)."""
    found = vcon.get("critical")
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def made(start: bytes) -> Callable[[bytes], bytes]:
    """What answers."""
    told = msgspec.msgpack.decode(start, type=Started)
    module, _, attribute = told.target.partition(":")
    link = getattr(import_module(module), attribute)(told.options)
    return lambda body: msgspec.msgpack.encode(worked(link, told.name, body, told.most))


if __name__ == "__main__":
    work(made)
