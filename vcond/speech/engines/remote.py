"""A vosk-server elsewhere, asked over its WebSocket protocol, as a streaming engine.

The protocol (alphacep/vosk-server, ``websocket/asr_server.py`` and its C++ and GPU relatives; read, not copied): the
client sends ``{"config": {"sample_rate": 8000, "words": true, "phrase_list": [...]}}``, then 16-bit little-endian audio
in binary messages. Each is answered, in order, with ``{"partial": ...}`` or, at the end of a sentence,
``{"result": [...], "text": ...}``. Two commands are compared as text, their spaces included: ``{"eof" : 1}`` is answered
with the last result and ends the connection, ``{"reset" : 1}`` (since 2023) is answered with it and keeps the
connection. What decides the shape of this:

- A server makes a recognizer for each connection, and a cold recognizer costs two to five times as much. So connections
  are kept and ``reset`` is used where a server knows it; where it does not (found out once, at the start), there is one
  connection for each utterance.
- The server's last result throws away its adaptation to the voice only if it finds audio since the result before. So a
  sample of silence goes ahead of ``reset``: the next caller is not decoded with this one's voice in mind.
- The server's clock is all audio that the connection ever carried. So each utterance takes off what was sent before it.
- The C++ server takes the ``config`` for audio and answers it. How often it is answered is found out at the start too.
- Nothing is waited for while audio comes in, so that one worker keeps many utterances going on the server at once.
- A server that is away is not the utterance's fault: ``UnreachableError``, and it waits. One that is there and breaks the
  protocol on this utterance, twice, is: ``ProtocolError``.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final as Constant

import msgspec
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from vcond.base import tls
from vcond.base.errors import ConfigError, ProtocolError, UnreachableError
from vcond.speech.engine import Caps, EngineOptions, Final, Heard, Hint, Partial, Pcm, Server

EOF: Constant = '{"eof" : 1}'
RESET: Constant = '{"reset" : 1}'
SAMPLE: Constant = bytes(2)
PIECE_SECONDS = 0.5
"""Audio in one message."""
UNANSWERED_SECONDS = 10
"""Audio that may be on its way or in the server before its answers are waited for."""
UNSURE = "the vocabulary was sent to the server; only its own log shows which words its model does not have"
OPEN_SECONDS = 5.0
"""How long a connection may take to open."""
CLOSE_SECONDS = 0.5
PARTIAL_SECONDS = 0.05
"""How long what is being said is waited for: other utterances of this worker wait meanwhile."""
CLOCK_SLACK = 0.5
"""Seconds by which a word may begin before its utterance: frames of vosk overlap."""
MOST_BREAKS = 2
"""How often an utterance is begun again on a new connection: one that was kept may have died unnoticed."""
MOST_IDLE = 64
"""Connections that are kept; the server holds a recognizer for each."""
IDLE_SECONDS = 60.0
"""A connection that nobody used for so long is closed, not used again."""
LONGEST_ANSWER = 1 << 20
MOST_WORDS = 10_000

Take = Callable[["Answer"], None]


class AnswerWord(msgspec.Struct):
    """One word; seconds on the connection's clock."""

    word: str
    start: float
    end: float
    conf: float = 0.0


class Answer(msgspec.Struct):
    """What the server says: ``text`` when a sentence is over, else ``partial``."""

    text: str | None = None
    partial: str = ""
    result: list[AnswerWord] = []


_ANSWER = msgspec.json.Decoder(Answer)


class SlowError(UnreachableError):
    """An answer that did not come in time. Stays in this module: whose fault it is has to be found out."""


class Manners(msgspec.Struct, frozen=True):
    """How a server behaves, as it was found out."""

    keeps: bool
    """It knows ``reset``: connections can be kept."""
    greets: int = 0
    """Answers to the configuration."""


class RemoteEngine:
    """A server, and the connections to it that are kept."""

    name = "remote"

    def __init__(self, options: EngineOptions) -> None:
        """Look whether the server answers, and how. Raises ConfigError when it does not."""
        if options.server is None:
            raise ConfigError("must be set: the engine remote needs the address of a server", "speech.url")
        self.server = options.server
        self.model = options.model or "vosk-server"
        language = self.server.language.partition("-")[0].lower()
        self.caps = Caps(streaming=True, languages=(language,) if language else ())
        self._tls = _tls(self.server)
        self._idle: dict[Line, float] = {}
        try:
            self.manners = self._look()
        except (UnreachableError, ProtocolError) as why:
            raise ConfigError(str(why), "speech.url") from why

    def open(self, hint: Hint) -> RemoteRecognition:
        """Ready for one utterance. Connects only when there is audio."""
        return RemoteRecognition(self, hint)

    def line(self, hint: Hint, seconds: float) -> Line:
        """A connection for an utterance: one that was kept, or a new one. Raises UnreachableError."""
        now = time.monotonic()
        for line, since in list(self._idle.items()):
            if now - since > IDLE_SECONDS or not line.usable:
                del self._idle[line]
                line.close()
        fit = [line for line in self._idle if (line.hint.rate, line.hint.vocabulary) == (hint.rate, hint.vocabulary)]
        for line in reversed(fit):
            del self._idle[line]
            if line.quiet():
                return line
            line.close()
        return Line(self.server, self._tls, hint, self.manners.greets, min(seconds, OPEN_SECONDS))

    def keep(self, line: Line) -> None:
        """An utterance is over: its connection may serve another one, of whatever caller."""
        if not self.manners.keeps or not line.usable:
            line.close()
            return
        self._idle[line] = time.monotonic()
        if len(self._idle) > MOST_IDLE:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.close()

    def drop(self) -> None:
        """Whatever befell one connection has befallen the others: none that was kept is used again."""
        for line in self._idle:
            line.close(politely=False)
        self._idle.clear()

    def alive(self) -> bool:
        """Whether the server serves a new connection at once: else it is slow or away, whatever it is asked."""
        seconds = self.server.patience / 4
        try:
            return bool(self._try_out(RESET if self.manners.keeps else EOF, seconds))
        except (UnreachableError, ProtocolError):
            return False

    def _look(self) -> Manners:
        seconds = min(self.server.patience / 2, OPEN_SECONDS)
        try:
            if len(self._try_out(RESET, seconds)) == 2:
                return Manners(keeps=True)
        except ProtocolError:
            pass  # it does not know reset, and says so by closing
        answers = self._try_out(EOF, seconds)
        if not answers:
            raise ProtocolError(f"{self.server.url} is not a vosk-server")
        return Manners(keeps=False, greets=max(0, len(answers) - 2))

    def _try_out(self, end: str, seconds: float) -> list[Answer]:
        """The answers to a tenth of a second of silence, the last with a text; none = it never came.

        Raises UnreachableError and ProtocolError.
        """
        line = Line(self.server, self._tls, Hint(8000), 0, seconds)
        answers: list[Answer] = []
        try:
            line.audio(bytes(1600), answers.append)
            line.ask(end, answers.append)
            line.expect(answers.append)
            line.read(time.monotonic() + seconds, lambda: bool(answers) and answers[-1].text is not None)
        except SlowError:
            return []
        finally:
            line.close()
        return answers if answers and answers[-1].text is not None else []


class RemoteRecognition:
    """One utterance. Its audio is kept to its end, to be sent again when the connection breaks in the middle of it."""

    def __init__(self, engine: RemoteEngine, hint: Hint) -> None:
        self._engine = engine
        self._hint = hint
        self._audio: list[bytes] = []
        self._breaks = 0
        self._line: Line | None = None
        self._sent = 0
        """How many parts of the audio the connection has carried."""
        self._zero = 0
        """The connection's clock, in samples, at the beginning of the utterance."""
        self._texts: list[str] = []
        self._words: list[AnswerWord] = []
        self._partial = ""

    def feed(self, pcm: Pcm) -> None:
        """Send more audio. Raises UnreachableError (it is the server's fault) and ProtocolError (perhaps not)."""
        raw = pcm.astype("<i2", copy=False).tobytes()
        piece = 2 * int(self._hint.rate * PIECE_SECONDS)
        self._audio += [raw[at : at + piece] for at in range(0, len(raw), piece)]
        self._do(lambda line, _: line.read(0.0, must=False))

    def partial(self) -> Partial:
        """What was heard so far, as far as the server has said it. Raises as ``feed``."""
        self._do(lambda line, _: line.read(time.monotonic() + PARTIAL_SECONDS, must=False))
        return Partial(" ".join([*self._texts, self._partial]).strip())

    def finish(self) -> Final:
        """All of it. Raises as ``feed``."""
        if self._audio:
            self._do(self._end)
        zero = self._zero / self._hint.rate
        words = tuple(Heard(word.start - zero, word.end - zero, word.word, word.conf) for word in self._words)
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        language = self._hint.language or self._engine.server.language
        note = UNSURE if self._hint.vocabulary else ""
        final = Final(" ".join(self._texts), words, language, confidence, note)
        if self._line is not None:
            self._engine.keep(self._line)
        self._over()
        return final

    def reset(self) -> None:
        """Forget everything. A connection that can be kept is: what is still answered goes to nobody."""
        line = self._line
        if line is not None:
            try:
                if self._engine.manners.keeps:
                    line.audio(SAMPLE, _ignore)
                    line.ask(RESET, _ignore)
                    self._engine.keep(line)
                else:
                    line.close()
            except ProtocolError:
                line.close()
        self._over()

    def _over(self) -> None:
        self._line = None
        self._audio, self._texts, self._words, self._partial = [], [], [], ""

    def _do(self, act: Callable[[Line, float], None]) -> None:
        """Send what was not sent, then ``act``; on a new connection, from the start, when the old one breaks."""
        end = time.monotonic() + self._engine.server.patience
        while True:
            try:
                line = self._connected(end)
                self._flush(line, end)
                act(line, end)
            except (SlowError, ProtocolError) as why:
                self._broken(why)
            else:
                return

    def _connected(self, end: float) -> Line:
        if self._line is None:
            self._line = self._engine.line(self._hint, max(0.1, end - time.monotonic()))
            self._sent, self._zero = 0, self._line.fed
            self._texts, self._words, self._partial = [], [], ""
        return self._line

    def _flush(self, line: Line, end: float) -> None:
        most = UNANSWERED_SECONDS * self._hint.rate
        while self._sent < len(self._audio):
            line.audio(self._audio[self._sent], self._take)
            self._sent += 1
            line.read(end, lambda: line.unanswered <= most)

    def _end(self, line: Line, end: float) -> None:
        if self._engine.manners.keeps:
            line.audio(SAMPLE, self._take)
        line.ask(RESET if self._engine.manners.keeps else EOF, self._take)
        line.read(end)

    def _broken(self, why: SlowError | ProtocolError) -> None:
        """Hang up; return if the utterance is to be tried on another. Raises as ``feed``."""
        if self._line is not None:
            self._line.close(politely=False)
            self._line = None
        self._engine.drop()
        self._breaks += 1
        if isinstance(why, ProtocolError) and self._breaks <= MOST_BREAKS:
            return
        if not self._engine.alive():
            raise UnreachableError(f"the speech server at {self._engine.server.url} did not answer in time") from None
        raise ProtocolError("the speech server fails on one utterance, but serves others") from None

    def _take(self, answer: Answer) -> None:
        if answer.text is None:
            self._partial = answer.partial
            return
        self._partial = ""
        if answer.result and answer.result[0].start < self._zero / self._hint.rate - CLOCK_SLACK:
            raise ProtocolError("the speech server answered an earlier utterance")
        if answer.text:
            self._texts.append(answer.text)
            self._words += answer.result[: MOST_WORDS - len(self._words)]


class Line:
    """One connection: a recognizer of the server. Every message has its answer, in order."""

    def __init__(self, server: Server, context: ssl.SSLContext | None, hint: Hint, greets: int, seconds: float) -> None:
        """Connect and configure. ``greets``: answers to the configuration. Raises UnreachableError."""
        self.hint = hint
        self.fed = 0
        """Samples, of all utterances: the recognizer's clock."""
        self.unanswered = 0
        """Samples whose answers have not come."""
        self._waiting: deque[tuple[Take, int]] = deque()
        self._open = ExitStack()
        self._socket = _connect(server, context, seconds, self._open)
        config: dict[str, object] = {"sample_rate": hint.rate, "words": True, "max_alternatives": 0}
        if hint.vocabulary:
            config["phrase_list"] = list(hint.vocabulary)
        text = json.dumps({"config": config}, ensure_ascii=False)
        try:
            self._send(text)
        except ProtocolError as why:
            self.close()
            raise UnreachableError(f"the speech server at {server.url} closed the connection") from why
        for _ in range(greets):
            self.expect(_ignore)
            self.fed += len(text.encode()) // 2  # it was taken for audio

    @property
    def usable(self) -> bool:
        """Whether the connection is open, as far as anybody knows."""
        return self._socket.state is State.OPEN

    def audio(self, pcm: bytes, take: Take) -> None:
        """Send audio; ``take`` is called with the answer when it is read. Raises ProtocolError."""
        self._send(pcm)
        self._waiting.append((take, len(pcm) // 2))
        self.fed += len(pcm) // 2
        self.unanswered += len(pcm) // 2

    def ask(self, command: str, take: Take) -> None:
        """Send a command. Raises ProtocolError."""
        self._send(command)
        self.expect(take)

    def expect(self, take: Take) -> None:
        """One more answer will come."""
        self._waiting.append((take, 0))

    def read(self, end: float, enough: Callable[[], bool] | None = None, *, must: bool = True) -> None:
        """Read answers until it is ``enough``, or no more will come.

        Raises SlowError when that is not so at the moment ``end`` and it ``must``, and ProtocolError.
        """
        while self._waiting and not (enough is not None and enough()):
            try:
                message = self._socket.recv(max(0.0, end - time.monotonic()))
            except TimeoutError:
                if must:
                    raise SlowError("the speech server did not answer in time") from None
                return
            except (WebSocketException, OSError):
                raise ProtocolError("the speech server closed the connection") from None
            take, samples = self._waiting.popleft()
            self.unanswered -= samples
            take(_answer(message))

    def quiet(self) -> bool:
        """Whether nothing has come that was not asked for: it would be taken for an answer to the next caller."""
        if self._waiting:
            return True
        try:
            self._socket.recv(0.0)
        except TimeoutError:
            return True
        except (WebSocketException, OSError):
            pass
        return False

    def close(self, *, politely: bool = True) -> None:
        """Hang up. ``politely``: wait half a second for the server to do so too."""
        with suppress(WebSocketException, OSError):
            if not politely:
                self._socket.socket.shutdown(socket.SHUT_RDWR)
            self._open.close()

    def _send(self, message: str | bytes) -> None:
        try:
            self._socket.send(message)
        except (WebSocketException, OSError):
            raise ProtocolError("the speech server closed the connection") from None


def _ignore(_: Answer) -> None:
    """Answers that nobody waits for."""


def _answer(message: str | bytes) -> Answer:
    """Raises ProtocolError, without a word of what was said. The GPU server ends with an empty message."""
    try:
        return _ANSWER.decode(message) if message else Answer(text="")
    except (ValueError, RecursionError):
        raise ProtocolError("unexpected answer of the speech server") from None


def _connect(server: Server, context: ssl.SSLContext | None, seconds: float, stack: ExitStack) -> ClientConnection:
    headers = {"Authorization": f"Bearer {server.token}"} if server.token else None
    try:
        opening = connect(
            server.url, ssl=context, additional_headers=headers, proxy=None, compression=None,
            open_timeout=seconds, close_timeout=CLOSE_SECONDS, max_size=LONGEST_ANSWER,
        )  # fmt: skip
        connection = stack.enter_context(opening)
    except InvalidStatus as why:
        text = f"the speech server at {server.url} answers HTTP {why.response.status_code}"
        raise UnreachableError(text) from None
    except ssl.SSLCertVerificationError as why:
        text = f"the certificate of the speech server at {server.url} is not trusted: {why.verify_message}"
        raise UnreachableError(text) from None
    except (OSError, WebSocketException) as why:
        reason = (isinstance(why, OSError) and why.strerror) or type(why).__name__
        raise UnreachableError(f"the speech server at {server.url} cannot be reached: {reason}") from None
    # A peer that no longer reads must not make ``send`` wait for ever.
    with suppress(OSError):
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(server.patience * 1000))
    return connection


def _tls(server: Server) -> ssl.SSLContext | None:
    return tls.client(server.ca, "speech.ca") if server.url.startswith("wss:") else None
