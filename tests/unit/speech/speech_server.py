"""Small servers of the vosk-server protocol, good and bad ones, in threads of the test."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

RESET, EOF = '{"reset" : 1}', '{"eof" : 1}'


class Recognizer:
    """What was said is in the samples: each value is a word. Its clock is all it was ever fed."""

    def __init__(self, rate: int = 8000) -> None:
        self.rate, self.fed = rate, 0
        self.heard: list[tuple[int, int, int]] = []

    def accept(self, raw: bytes) -> None:
        pcm = np.frombuffer(raw, "<i2")
        for value in dict.fromkeys(pcm.tolist()):
            at = np.flatnonzero(pcm == value)
            start, stop = self.fed + int(at[0]), self.fed + int(at[-1]) + 1
            if value and self.heard and self.heard[-1][0] == value:
                self.heard[-1] = (value, self.heard[-1][1], stop)
            elif value:
                self.heard.append((value, start, stop))
        self.fed += len(pcm)

    def partial(self) -> str:
        return json.dumps({"partial": " ".join(str(value) for value, _, _ in self.heard)})

    def final(self) -> str:
        words = [
            {"word": str(value), "start": start / self.rate, "end": stop / self.rate, "conf": 0.9}
            for value, start, stop in self.heard
        ]
        text = " ".join(word["word"] for word in words)
        self.heard = []
        return json.dumps({"text": text, "result": words} if words else {"text": ""})


class Server:
    """Serves as the python server does. What differs, a test says with the keywords and with ``before``."""

    def __init__(
        self, *, resets: bool = True, greets: bool = False, make: Callable[[float, Any], Any] | None = None
    ) -> None:
        self.resets, self.greets = resets, greets
        self.make = make or (lambda rate, phrases: Recognizer(int(rate)))
        self.configs: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.open = 0
        self.refuse = 0
        """HTTP status with which connections are refused."""
        self.before: Callable[[ServerConnection, bytes], str | None] = lambda _socket, _pcm: None
        """Called with audio before it is taken; what it returns is sent instead of the answer. It may close."""

    def handle(self, connection: ServerConnection) -> None:
        self.open += 1
        self.headers.append(connection.request.headers.get("Authorization", ""))
        with contextlib.suppress(ConnectionClosed):
            self._talk(connection)
        self.open -= 1

    def _talk(self, connection: ServerConnection) -> None:
        rate, phrases, recognizer = 8000.0, None, None
        for message in connection:
            if isinstance(message, str) and "config" in message and not self.greets:
                config = json.loads(message)["config"]
                self.configs.append(config)
                rate, phrases = config["sample_rate"], config.get("phrase_list")
                continue
            recognizer = recognizer or self.make(rate, phrases)
            if message == EOF:
                connection.send(recognizer.final())
                return
            if message == RESET and self.resets:
                connection.send(recognizer.final())
                continue
            if isinstance(message, str) and not self.greets:
                connection.close(1011)
                return
            raw = message if isinstance(message, bytes) else bytes(len(message.encode()) // 2 * 2)
            instead = self.before(connection, raw)
            recognizer.accept(raw)
            connection.send(instead or recognizer.partial())


@contextlib.contextmanager
def running(server: Server, *, port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on loopback; the port."""
    listening = socket.create_server(("127.0.0.1", port))
    port = listening.getsockname()[1]

    def admit(connection: ServerConnection, _request: object) -> object:
        return connection.respond(server.refuse, "no") if server.refuse else None

    options = {"max_size": 1 << 22, "close_timeout": 0.2, "process_request": admit}
    with serve(server.handle, sock=listening, ssl=context, **options) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield port
        finally:
            serving.shutdown()
            thread.join()
