"""Adapters that break one rule each: the suite that guards the rule must fail for each of them."""

from __future__ import annotations

import asyncio
import gc
import time

import msgspec
import pytest
from vcond_pcmline import PcmLineAdapter

from vcond.call.events import CallEnded
from vcond.sdk.contract import SECOND, Finding, Held, Instant, PartyInfo
from vcond.testing.conformance import AdapterConformance


class SwapsVoices(PcmLineAdapter):
    def open(self, host, hello):
        call, tracks = super().open(host, hello)
        return call, tracks[::-1]


class MixesVoices(PcmLineAdapter):
    def open(self, host, hello):
        call, tracks = super().open(host, hello)
        return call, [tracks[0], tracks[0]]


class AttachesAgain(PcmLineAdapter):
    def open(self, host, hello):
        host.attached(False, "a mistake")
        host.attached(True)
        return super().open(host, hello)


class NeverEnds(PcmLineAdapter):
    async def listen(self, host, reader, tracks):
        await super().listen(host, reader, tracks)
        await asyncio.Event().wait()


class EndsWhenCancelled(PcmLineAdapter):
    async def run(self, host):
        try:
            await super().run(host)
        finally:
            for call in host.open_calls():
                call.end(at=host.clock.now())


class SwallowsCancel(PcmLineAdapter):
    async def run(self, host):
        try:
            await super().run(host)
        except asyncio.CancelledError:
            return


class LeavesATask(PcmLineAdapter):
    async def run(self, host):
        self.forgotten = asyncio.create_task(self.dawdle())
        await super().run(host)

    async def dawdle(self):
        await asyncio.sleep(600)


class LeavesSockets(PcmLineAdapter):
    async def serve(self, host, reader, writer):
        try:
            call, tracks = self.open(host, msgspec.json.decode(await reader.readline(), type=HelloAgain))
            call.end(at=host.clock.now(), cause=await self.listen(host, reader, tracks))
            writer.close()
        except asyncio.CancelledError:
            self.kept = writer  # and the socket stays open
            raise


class HelloAgain(msgspec.Struct):
    call: str
    caller: str = ""
    callee: str = ""


class RaisesOnGarbage(PcmLineAdapter):
    async def serve(self, host, reader, writer):
        line = await reader.readline()
        writer.close()
        msgspec.json.decode(line)


class IgnoresGarbage(PcmLineAdapter):
    async def serve(self, host, reader, writer):
        writer.close()


class LogsNumbers(PcmLineAdapter):
    def open(self, host, hello):
        host.log.info("a call", caller=hello.caller)
        return super().open(host, hello)


class TellsTheToken(PcmLineAdapter):
    async def run(self, host):
        host.attached(True, f"token is {host.ingress.token}")
        await super().run(host)


class EmitsTheCoresEvents(PcmLineAdapter):
    def open(self, host, hello):
        call, tracks = super().open(host, hello)
        call.emit(CallEnded(at=host.clock.now()))
        return call, tracks


class EmitsNonsense(PcmLineAdapter):
    def open(self, host, hello):
        call, tracks = super().open(host, hello)
        call.emit(Held(at=host.clock.now(), party=9))
        return call, tracks


class Sleeps(PcmLineAdapter):
    def open(self, host, hello):
        time.sleep(0.001)
        return super().open(host, hello)


class GivesUp(PcmLineAdapter):
    async def run(self, host):
        async with asyncio.timeout(0.1):
            await super().run(host)


class NeverAttaches(PcmLineAdapter):
    async def run(self, host):
        await asyncio.Event().wait()


class NewKeyEachTime(PcmLineAdapter):
    def open(self, host, hello):
        return super().open(host, msgspec.structs.replace(hello, call=f"{hello.call}-{host.clock.now()}"))


class JoinsAgainAndAgain(PcmLineAdapter):
    def open(self, host, hello):
        for number in range(2):
            host.call(hello.call, at=host.clock.now()).party(
                f"{host.clock.now()}-{number}", at=host.clock.now(), who=PartyInfo()
            )
        return super().open(host, hello)


class TellsByTheWallClock(PcmLineAdapter):
    async def run(self, host):
        begun, right = time.time() - time.monotonic(), host.clock.now

        class Wall:
            def now(self):
                return Instant(right() + round((time.time() - time.monotonic() - begun) * SECOND))

        host.clock = Wall()
        await super().run(host)


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
        (TellsByTheWallClock, "our_wall_clock_steps_in_a_call_and_moves_nothing_of_it"),
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
