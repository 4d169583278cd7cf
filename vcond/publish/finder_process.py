"""The process of one finder of another package; ``finder_apart`` starts it, with a socket for stdin.

It is told once which finder, then shown conversations.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from vcond.base.errors import OperatorError
from vcond.publish.apart import work
from vcond.publish.finder_apart import Answer, Said
from vcond.redaction.contract import Conversation, KeyPressed, Secret
from vcond.redaction.finding import found


def looked(made: Any, conversation: Conversation) -> Answer:
    """What a finder says, or why it says nothing."""
    try:
        secrets = found([made], conversation)
    except OperatorError as why:
        return Answer(error=str(why))
    keys = {key: at for at, key in enumerate(conversation.keys)}
    return Answer([_said(one, keys) for one in secrets])


def _said(one: Secret, keys: dict[KeyPressed, int]) -> Said:
    words = [(word.turn, word.index) for word in one.words]
    return Said(one.kind, words, [keys[key] for key in one.keys], list(one.turns), one.certainty)


def made(start: bytes) -> Callable[[bytes], bytes]:
    """What answers."""
    target, options = pickle.loads(start)  # noqa: S301 - our own parent wrote it
    module, _, attribute = target.partition(":")
    finder = getattr(import_module(module), attribute)(options)

    def answer(question: bytes) -> bytes:
        return msgspec.msgpack.encode(looked(finder, pickle.loads(question)))  # noqa: S301 - likewise

    return answer


if __name__ == "__main__":
    work(made)
