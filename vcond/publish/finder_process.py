"""The process of one finder of another package; ``finder_apart`` starts it, with a socket for stdin.

It is told once which finder, then shown conversations. What the finder prints goes nowhere. It ends with whoever started it,
and where it hangs then, by an alarm.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
from contextlib import suppress
from importlib import import_module
from typing import Any

import msgspec

from vcond.base.errors import OperatorError
from vcond.publish.finder_apart import Answer, Said, receive
from vcond.redaction.contract import Conversation, FinderOptions, KeyPressed, Secret
from vcond.redaction.finding import found

GRACE = 10
"""Seconds after its time is over."""


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


def _made(target: str, options: FinderOptions) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)(options)


def main(channel: socket.socket) -> None:
    """Until nobody asks any more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # all of a terminal or service get it, and vcond still delivers then
        signal.signal(number, lambda *_: None)
    with suppress(OSError):  # who may not be polite works all the same
        os.nice(10)
    target, options, limit = pickle.loads(receive(channel))  # noqa: S301 - our own parent wrote it
    signal.alarm(int(limit) + GRACE)
    made = _made(target, options)
    while True:
        signal.alarm(0)
        conversation = pickle.loads(receive(channel))  # noqa: S301 - likewise
        signal.alarm(int(limit) + GRACE)
        body = msgspec.msgpack.encode(looked(made, conversation))
        channel.sendall(len(body).to_bytes(4, "big") + body)


if __name__ == "__main__":
    try:
        main(socket.socket(fileno=0))
    except EOFError:
        os._exit(0)  # threads of a finder are not waited for
    except BaseException:  # noqa: BLE001 - whatever it is, whoever asked sees that there is no answer
        os._exit(1)
