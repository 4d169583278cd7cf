"""What the list of live calls says of each: how late its texts come, what is wrong now and what to do."""

from pathlib import Path

from api_kit import daemon

from vcond.call import events as ev
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import ArrivalClock

ANN, BEN = ev.PartyInfo(name="Ann", tel="+15551230001"), ev.PartyInfo(sip="1001@pbx.example.com")


def spoke(one, call, number: int, stop: float) -> None:
    """An utterance of two seconds, known half a second after its end."""
    span = {"start": round((stop - 2) * 8000), "stop": round(stop * 8000)}
    call.record(ev.Utterance(at=one.at(stop + 0.5), utterance=number, track=0, **span))


def text(one, call, number: int, at: float, lag_ms: int, *, deferred: bool = False) -> None:
    call.record(
        ev.Transcribed(
            at=one.at(at), utterance=number, engine="vosk", model="m", text="hello", lag_ms=lag_ms, deferred=deferred
        )
    )


async def test_a_call_says_how_late_its_texts_come_and_when_one_does_not_come(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN, BEN)
        call.track(0, at=one.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())

        async def lag(seconds: float) -> float | None:
            one.time[0] = one.at(seconds)
            (row,) = await one.told("/calls", "watch")
            assert (await one.told(f"/calls/{call.uuid}", "watch"))["lag"] == row["lag"]
            return row["lag"]

        spoke(one, call, 0, 5.0)
        assert await lag(7.0) is None, "nobody transcribes"
        call.record(ev.CallAttribute(at=one.at(7), name="speech_engine", value="vosk"))
        text(one, call, 0, 7.0, 1540)
        assert await lag(8.0) == 1.5
        spoke(one, call, 1, 10.0)
        assert await lag(11.0) == 1.5
        assert await lag(18.9) == 8.0, "one is waited for since then, which is more"
        text(one, call, 1, 20.0, 60_000, deferred=True)
        assert await lag(21.0) == 1.5, "what was put off tells nothing of how live texts are"
        call.record(ev.SpeechState(at=one.at(22), state="deferred"))
        assert await lag(23.0) is None


async def test_what_is_wrong_with_a_call_comes_with_what_to_do_and_the_page_is_told_when_it_changes(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN, BEN)
        call.emit(ev.Answered(at=one.at(0)))
        track = call.track(0, at=one.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
        for number in range(500):
            track.write(b"\x01\x02" * 160, arrived=one.at((number + 1) * 0.02))
        with one.parts.bus.watch() as lines:
            one.parts.finisher.findings.watch([(call.state, [])], one.at(40))
            line = await anext(lines)
            while line.text != "flagged":
                line = await anext(lines)
            assert (line.call, line.kind) == (call.uuid, "event")
        one.time[0] = one.at(40)
        (row,) = await one.told("/calls", "watch")
        (flag,) = row["flags"]
        assert (flag["code"], flag["party"], flag["text"]) == ("one-way-audio", 1, "party 1: no audio came in")
        assert "check this party's tap" in flag["hint"]
        told = await one.told(f"/calls/{call.uuid}", "watch")
        assert told["flags"] == [flag]
        assert flag in told["findings"]
        (known,) = (await one.told("/findings", "operate"))["calls"]
        assert flag in known["findings"]


async def test_some_calls_are_told_by_their_ids_and_of_what_is_over_or_never_was_there_is_nothing(tmp_path: Path):
    async with daemon(tmp_path) as one:
        made = [one.parts.registry.call("bench", str(number), one.at(0), "unknown") for number in range(4)]
        uuids = [call.uuid for call in made]

        async def told(only: str) -> list[str]:
            return [row["call"] for row in await one.told(f"/calls?only={only}", "watch")]

        assert await told("") == uuids
        assert await told(uuids[2]) == [uuids[2]]
        made[1].end(at=one.at(1))
        assert await told(",".join([uuids[3], uuids[1], uuids[0]])) == [uuids[0], uuids[3]]
        assert await told(uuids[0][:20]) == [], "whole ids only"
        assert await told("x,,") == []
        assert (await one.asked(f"/calls?only={'x' * 601}", "watch"))[0] == 400
