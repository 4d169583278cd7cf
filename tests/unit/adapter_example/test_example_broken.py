"""Adapters that break one rule each: the suite that guards the rule must fail for each of them."""

from __future__ import annotations

import asyncio
import gc
import time

import msgspec
import pytest
from vcond_pcmline import PcmLineAdapter

from vcond.call.events import CallEnded
from vcond.sdk.contract import Finding, Held, PartyInfo
from vcond.testing.conformance import AdapterConformance


class SwapsVoices(PcmLineAdapter):
    def open(self, desk, hello):
        call, tracks = super().open(desk, hello)
        return call, tracks[::-1]


class MixesVoices(PcmLineAdapter):
    def open(self, desk, hello):
        call, tracks = super().open(desk, hello)
        return call, [tracks[0], tracks[0]]


class AttachesAgain(PcmLineAdapter):
    def open(self, desk, hello):
        desk.attached(False, "a mistake")
        desk.attached(True)
        return super().open(desk, hello)


class NeverEnds(PcmLineAdapter):
    async def listen(self, desk, reader, tracks):
        await super().listen(desk, reader, tracks)
        await asyncio.Event().wait()


class EndsWhenCancelled(PcmLineAdapter):
    async def run(self, desk):
        try:
            await super().run(desk)
        finally:
            for call in desk.open_calls():
                call.end(at=desk.clock.now())


class SwallowsCancel(PcmLineAdapter):
    async def run(self, desk):
        try:
            await super().run(desk)
        except asyncio.CancelledError:
            return


class LeavesATask(PcmLineAdapter):
    async def run(self, desk):
        self.forgotten = asyncio.create_task(self.dawdle())
        await super().run(desk)

    async def dawdle(self):
        await asyncio.sleep(600)


class LeavesSockets(PcmLineAdapter):
    async def serve(self, desk, reader, writer):
        try:
            call, tracks = self.open(desk, msgspec.json.decode(await reader.readline(), type=HelloAgain))
            call.end(at=desk.clock.now(), cause=await self.listen(desk, reader, tracks))
            writer.close()
        except asyncio.CancelledError:
            self.kept = writer  # and the socket stays open
            raise


class HelloAgain(msgspec.Struct):
    call: str
    caller: str = ""
    callee: str = ""


class RaisesOnGarbage(PcmLineAdapter):
    async def serve(self, desk, reader, writer):
        line = await reader.readline()
        writer.close()
        msgspec.json.decode(line)


class IgnoresGarbage(PcmLineAdapter):
    async def serve(self, desk, reader, writer):
        writer.close()


class LogsNumbers(PcmLineAdapter):
    def open(self, desk, hello):
        desk.log.info("a call", caller=hello.caller)
        return super().open(desk, hello)


class TellsTheToken(PcmLineAdapter):
    async def run(self, desk):
        desk.attached(True, f"token is {desk.ingress.token}")
        await super().run(desk)


class EmitsTheCoresEvents(PcmLineAdapter):
    def open(self, desk, hello):
        call, tracks = super().open(desk, hello)
        call.emit(CallEnded(at=desk.clock.now()))
        return call, tracks


class EmitsNonsense(PcmLineAdapter):
    def open(self, desk, hello):
        call, tracks = super().open(desk, hello)
        call.emit(Held(at=desk.clock.now(), party=9))
        return call, tracks


class Sleeps(PcmLineAdapter):
    def open(self, desk, hello):
        time.sleep(0.001)
        return super().open(desk, hello)


class GivesUp(PcmLineAdapter):
    async def run(self, desk):
        async with asyncio.timeout(0.1):
            await super().run(desk)


class NeverAttaches(PcmLineAdapter):
    async def run(self, desk):
        await asyncio.Event().wait()


class NewKeyEachTime(PcmLineAdapter):
    def open(self, desk, hello):
        return super().open(desk, msgspec.structs.replace(hello, call=f"{hello.call}-{desk.clock.now()}"))


class JoinsAgainAndAgain(PcmLineAdapter):
    def open(self, desk, hello):
        for number in range(2):
            desk.call(hello.call, at=desk.clock.now()).party(
                f"{desk.clock.now()}-{number}", at=desk.clock.now(), who=PartyInfo()
            )
        return super().open(desk, hello)


class ComplainsWithoutAdvice(PcmLineAdapter):
    async def check(self):
        yield Finding("error", "something")


class TellsNumbersInCheck(PcmLineAdapter):
    async def check(self):
        yield Finding("ok", "line of +15550100")


class TakesAnyKey(PcmLineAdapter):
    class Config(msgspec.Struct):
        port: int = 0


@pytest.mark.parametrize(
    ("broken", "guard"),
    [
        (SwapsVoices, "a_call_becomes_a_record"),
        (MixesVoices, "a_call_becomes_a_record"),
        (AttachesAgain, "a_call_becomes_a_record"),
        (NeverEnds, "a_call_of_no_length"),
        (EndsWhenCancelled, "nothing_is_left_behind"),
        (SwallowsCancel, "a_call_of_no_length"),
        (LeavesATask, "nothing_is_left_behind"),
        (LeavesSockets, "nothing_is_left_behind"),
        (RaisesOnGarbage, "garbage_is_counted_and_not_raised"),
        (IgnoresGarbage, "garbage_is_counted_and_not_raised"),
        (LogsNumbers, "a_call_of_no_length"),
        (TellsTheToken, "it_says_when_it_is_attached"),
        (EmitsTheCoresEvents, "a_call_becomes_a_record"),
        (EmitsNonsense, "a_call_becomes_a_record"),
        (Sleeps, "a_call_of_no_length"),
        (GivesUp, "a_call_becomes_a_record"),
        (NeverAttaches, "it_says_when_it_is_attached"),
        (NewKeyEachTime, "after_a_restart_the_same_call_goes_on"),
        (JoinsAgainAndAgain, "after_a_restart_the_same_call_goes_on"),
        (ComplainsWithoutAdvice, "check_tells_what_is_wrong_and_what_to_do"),
        (TellsNumbersInCheck, "check_tells_what_is_wrong_and_what_to_do"),
        (TakesAnyKey, "it_says_what_it_is"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_broken_rule_is_noticed(pcm_rig, broken, guard):
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)) as noticed:
        getattr(AdapterConformance(), f"test_{guard}")(pcm_rig(broken))
    print(f"{broken.__name__}: {noticed.value}")
    del noticed
    gc.collect()  # what the adapter left open complains now, not in the next test
