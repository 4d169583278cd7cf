from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import msgspec
import numpy as np
import pytest
import speech_engines
from speech_server import Server, running

from vcond.base.errors import ConfigError, ProtocolError, UnreachableError
from vcond.call import events as ev
from vcond.speech import engine as contract
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import EngineOptions, Final, Hint
from vcond.speech.engine_choice import Choice, check_engine, choose
from vcond.speech.engines.remote import UNANSWERED_SECONDS, RemoteEngine
from vcond.speech.scheduler import TRIES
from vcond.testing.certificates import certificate

HINT = Hint(8000, "en")


def engine(port: int, *, scheme: str = "ws", patience: float = 20.0, **more: str) -> RemoteEngine:
    server = contract.Server(f"{scheme}://127.0.0.1:{port}", patience=patience, **more)
    return RemoteEngine(EngineOptions(server=server))


def say(made: RemoteEngine, *values: int, hint: Hint = HINT) -> Final:
    """An utterance of half a second of each value, fed in steps as the service does."""
    recognition = made.open(hint)
    for value in values:
        recognition.feed(np.full(4000, value, np.int16))
    return recognition.finish()


def test_texts_and_times_are_of_the_utterance_and_its_connection_is_used_again() -> None:
    server = Server()
    with running(server) as port:
        made = engine(port)
        first, second = say(made, 7, 8), say(made, 9)
        assert server.open == 1
        assert server.configs[-1] == {"sample_rate": 8000, "words": True, "max_alternatives": 0}
        made.drop()
    assert (first.text, second.text, second.language) == ("7 8", "9", "en")
    assert [(word.start, word.stop, word.text) for word in first.words] == [(0.0, 0.5, "7"), (0.5, 1.0, "8")]
    assert [(word.start, word.stop) for word in second.words] == [(0.0, 0.5)]
    assert second.confidence == pytest.approx(0.9)


def test_what_is_being_said_is_shown_without_waiting_for_it() -> None:
    with running(Server()) as port:
        made = engine(port)
        recognition = made.open(HINT)
        recognition.feed(np.full(4000, 5, np.int16))
        while not recognition.partial().text:
            pass  # each look waits a moment for the answer itself
        assert recognition.partial().text == "5"
        recognition.reset()
        made.drop()


def test_an_utterance_that_is_dropped_leaves_nothing_to_the_next_caller() -> None:
    server = Server()
    with running(server) as port:
        made = engine(port)
        dropped = made.open(HINT)
        dropped.feed(np.full(4000, 66, np.int16))
        dropped.reset()
        assert say(made, 7).text == "7"
        assert server.open == 1
        made.drop()


def test_audio_goes_ahead_of_every_reset_so_that_no_voice_is_kept() -> None:
    """vosk keeps its adaptation to a voice when the last result finds no audio since the one before."""
    server, heard = Server(), []
    server.before = lambda _, pcm: heard.append(len(pcm))
    with running(server) as port:
        made = engine(port)
        heard.clear()
        say(made, 7)
        dropped = made.open(HINT)
        dropped.feed(np.full(4000, 8, np.int16))
        dropped.reset()
        say(made, 9)
        made.drop()
    assert heard == [8000, 2] * 3


def test_what_was_not_asked_for_reaches_no_other_caller() -> None:
    server = Server()
    with running(server) as port:
        made = engine(port)
        said: list[bytes] = []

        def twice(connection, pcm: bytes) -> None:
            if pcm == b"\0\0" and not said:
                said.append(pcm)
                connection.send('{"text": "secret", "result": []}')

        server.before = twice
        first = say(made, 7)  # one answer too many: the last one is left over
        assert first.text == "secret"
        assert say(made, 8).text == "8"
        made.drop()


def test_words_of_an_utterance_before_are_not_taken() -> None:
    server, old = Server(), []

    def late(connection, pcm: bytes) -> str | None:
        if int(np.frombuffer(pcm, "<i2")[0]) == 7:
            old.append(connection)
        stale = connection in old and int(np.frombuffer(pcm, "<i2")[0]) == 8
        return '{"text": "7", "result": [{"word": "7", "start": 0, "end": 1.5}]}' if stale else None

    server.before = late
    with running(server) as port:
        made = engine(port)
        say(made, 7, 7, 7)
        assert say(made, 8).text == "8"
        made.drop()


def test_a_vocabulary_has_its_own_connections() -> None:
    server = Server()
    with running(server) as port:
        made = engine(port)
        say(made, 1)
        say(made, 2, hint=Hint(8000, "", ("yes", "no")))
        say(made, 3, hint=Hint(16000))
        assert server.open == 3
        assert [config.get("phrase_list") for config in server.configs[-2:]] == [["yes", "no"], None]
        assert server.configs[-1]["sample_rate"] == 16000
        made.drop()


@pytest.mark.parametrize("greets", [False, True], ids=["as before 2023", "as in C++"])
def test_a_server_that_knows_no_reset_gets_a_connection_for_each_utterance(greets: bool) -> None:
    server = Server(resets=False, greets=greets)
    with running(server) as port:
        made = engine(port)
        finals = [say(made, value) for value in (4, 5)]
        assert (made.manners.keeps, made.manners.greets) == (False, int(greets))
    assert [final.text for final in finals] == ["4", "5"]
    assert [round(word.start, 3) for final in finals for word in final.words] == [0.0, 0.0]


def test_a_server_that_is_not_there_or_is_something_else() -> None:
    with running(Server()) as port:
        pass
    with pytest.raises(
        ConfigError, match=rf"^speech.url: the speech server at ws://127.0.0.1:{port} cannot be reached"
    ):
        engine(port)
    odd = Server()
    odd.handle = lambda connection: [connection.send(message) for message in connection]
    with running(odd) as port, pytest.raises(ConfigError, match="unexpected answer"):
        engine(port)


def test_an_outage_is_told_apart_from_an_utterance_that_fails() -> None:
    server = Server()
    with running(server) as port:
        made = engine(port)
        recognition = made.open(HINT)
        recognition.feed(np.full(4000, 3, np.int16))
    with pytest.raises(UnreachableError, match="cannot be reached"):
        recognition.finish()
    with pytest.raises(UnreachableError):
        say(made, 3)
    with running(server, port=port):
        assert say(made, 3).text == "3"
        made.drop()


def test_a_server_that_closes_in_the_middle_is_asked_again_from_the_start() -> None:
    server, closed = Server(), []

    def once(connection, pcm: bytes) -> None:
        if np.frombuffer(pcm, "<i2")[0] == 6 and not closed:
            closed.append(True)
            connection.close(1011)

    server.before = once
    with running(server) as port:
        made = engine(port)
        final = say(made, 5, 6, 7)
        made.drop()
    assert closed
    assert (final.text, [word.start for word in final.words]) == ("5 6 7", [0.0, 0.5, 1.0])


@pytest.mark.parametrize("answer", ["close", "rubbish", "{}", '{"text": 3}', "\N{BLACK STAR}" * 40_000])
def test_an_utterance_that_the_server_always_fails_on_is_its_own_fault(answer: str) -> None:
    server = Server()

    def always(connection, pcm: bytes) -> str | None:
        if not pcm.strip(b"\0"):
            return None
        if answer == "close":
            connection.close()
        return answer

    server.before = always
    with running(server) as port:
        made = engine(port)
        if answer == "{}":  # nothing was heard yet: that is an answer
            assert say(made, 5).text == "5"
            return
        with pytest.raises(ProtocolError, match="fails on one utterance, but serves others"):
            say(made, 5)


def test_a_server_that_is_slow_with_one_utterance_or_with_all() -> None:
    server, stuck = Server(), {5}

    def hang(connection, pcm: bytes) -> None:
        if int(np.frombuffer(pcm, "<i2")[0]) in stuck:
            connection.recv_events_thread.join(60)  # until the other side hangs up

    server.before = hang
    with running(server) as port:
        made = engine(port, patience=0.8)
        with pytest.raises(ProtocolError, match="serves others"):
            say(made, 5)
        stuck.add(0)  # what a new connection is tried out with
        with pytest.raises(UnreachableError, match="did not answer in time"):
            say(made, 5)


def test_a_slow_server_is_not_sent_more_than_it_answers() -> None:
    server, seen = Server(), []
    server.before = lambda _, pcm: seen.append(len(pcm))
    with running(server) as port:
        made = engine(port)
        recognition = made.open(HINT)
        for _ in range(3):
            recognition.feed(np.full(8000 * UNANSWERED_SECONDS, 5, np.int16))
            assert recognition._line.unanswered <= 8000 * UNANSWERED_SECONDS
        assert recognition.finish().words[0].stop == 3 * UNANSWERED_SECONDS
        assert max(seen) == 8000
        made.drop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    _, key = certificate(folder, "ca")
    key.rename(folder / "key.pem")
    return folder


def test_tls_with_an_own_authority_and_a_token(authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    server = Server()
    with running(server, context=context) as port:
        made = engine(port, scheme="wss", ca=str(authority / "ca.pem"), token="hush")
        assert say(made, 4).text == "4"
        assert set(server.headers) == {"Bearer hush"}
        made.drop()
        with pytest.raises(ConfigError, match="is not trusted"):
            engine(port, scheme="wss")
    with pytest.raises(ConfigError, match=r"^speech.ca: cannot be used: holds no certificates"):
        engine(1, scheme="wss", ca=str(authority / "key.pem"))


def test_a_refusal_says_what_the_server_answered() -> None:
    server = Server()
    with running(server) as port:
        made = engine(port, token="hush")
        server.refuse = 503
        with pytest.raises(UnreachableError, match="answers HTTP 503"):
            say(made, 4)
        server.refuse = 401
        with pytest.raises(ConfigError, match="answers HTTP 401") as why:
            engine(port, token="hush")
    assert "hush" not in f"{why.value}{made.server}{SpeechConfig(token='hush')}"


def test_the_configuration_means_a_server(tmp_path: Path) -> None:
    config = SpeechConfig(engine="remote", url="wss://speech.example.com/ko", language="ko-KR", step_seconds=10)
    choice = choose(config)
    assert (choice.engine, choice.trouble) == ("remote", "")
    assert choice.server is not None
    assert (choice.server.url, choice.server.language, choice.server.patience) == (config.url, "ko-KR", 6.0)
    assert "remote at wss://speech.example.com/ko" in check_engine(config).detail
    assert "speech.url" in check_engine(SpeechConfig(engine="remote")).fix
    gone = SpeechConfig(engine="remote", url="wss://a", ca=str(tmp_path / "gone"))
    assert choose(gone).trouble.startswith("no such file")


@pytest.mark.parametrize("url", ["http://a", "ws://", "ws://user:hush@a", "ws://a/?key=hush", "ws://a#b", "ws://a b"])
def test_an_address_holds_no_secret(url: str) -> None:
    """It is shown in logs and by check; a token has a key of its own."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"url": url}, SpeechConfig)
    assert msgspec.convert({"url": "wss://speech.example.com:2700/de"}, SpeechConfig).url


async def test_an_outage_costs_no_utterance_its_text(room, track) -> None:
    """The server is away from before the start, comes, goes, and comes again: every utterance is filled in."""
    server = Server()
    with running(server) as port:
        pass
    house, voices = room(), track()
    speech = asking(house, port)
    deaths = house.calls(house.speech._pool, "_died")
    async with house.running():
        speech.catch_up(voices, voices.say(11, 12, length=8000))
        await deaths.get()
        assert "cannot be reached" in speech.trouble
        with running(server, port=port):
            assert await speech.settled("", 60)
        assert speech.trouble == ""
        speech.catch_up(voices, voices.say(13, length=8000))
        await deaths.get()
        with running(server, port=port):
            assert await speech.settled("", 60)
    found = {event.utterance: (event.text, event.engine, event.model) for event in voices.of(ev.Transcribed)}
    assert found == {number: (str(11 + number), "remote", "vosk-server") for number in range(3)}


async def test_however_often_an_engine_reaches_nobody_the_utterance_waits(room, track) -> None:
    house, voices = room(), track()
    house.speech.catch_up(voices, voices.say(speech_engines.AWAY))
    await house.transcribe()
    assert len(house.log("away")) == 2 * TRIES
    assert [event.text for event in voices.of(ev.Transcribed)] == [str(speech_engines.AWAY)]


def asking(house, port: int) -> Speech:
    """Speech of a room whose engine is a server."""
    config = SpeechConfig(workers=1, restart_seconds=0.01, nice=0)
    choice = Choice("remote", server=contract.Server(f"ws://127.0.0.1:{port}", patience=5))
    house.speech = Speech(config, clock=house.clock, choice=choice)
    return house.speech


async def test_a_server_that_goes_while_somebody_speaks_and_comes_back(room, track) -> None:
    """Words are shown, the server dies, the utterance goes on and ends; its text is whole, and told once."""
    server = Server()
    house, line = room(), track()
    line.pcm = np.repeat(np.array([1] * 10 + [2, 3, 0], np.int16), 8000)
    async with contextlib.AsyncExitStack() as stack:
        with running(server) as port:
            speech = asking(house, port)
            deaths = house.calls(house.speech._pool, "_died")
            await stack.enter_async_context(house.running())
            await speech.ready.wait()
            listener = house.listen(line)
            upto = 4000
            while not line.partials:  # what was said is known one step later
                listener.advance(min(upto := upto + 1600, 79_000))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(line.told.wait(), 0.5)
        listener.advance(88_000)
        await deaths.get()
        listener.close(104_000)
        with running(server, port=port):
            assert await speech.settled("call", 60)
    assert line.partials[0][2] == "1"
    assert [(event.text, [word.start for word in event.words]) for event in line.of(ev.Transcribed)] == [
        ("1 2 3", [0, 80_000, 88_000])
    ]
