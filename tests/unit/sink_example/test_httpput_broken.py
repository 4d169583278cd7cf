"""Sinks that break one rule each: the suite must fail for each of them, in the test that guards the rule."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import msgspec
import pytest
import structlog
from vcond_httpput import HttpPutSink

from vcond.base.errors import PeerError
from vcond.sdk.sink import OutgoingVcon, Receipt, Refused, Retry, Seen
from vcond.testing.sinks import SinkConformance


class TakesAnyKey(HttpPutSink):
    class Config(msgspec.Struct):
        name: str = "x"


class ChangesBytes(HttpPutSink):
    async def deliver(self, record):
        return await super().deliver(OutgoingVcon(record.uuid, record.body + b"\n", record.sha512))


class MakesDoubles(HttpPutSink):
    tries = 0

    async def deliver(self, record):
        MakesDoubles.tries += 1
        return await self._ask("PUT", f"{self.address}/{record.uuid}{self.tries}.json", {201}, record.body)


class SaysNothingOfTarget(HttpPutSink):
    async def deliver(self, record):
        await super().deliver(record)
        return Receipt(201, "")


class CutsLargeOnes(HttpPutSink):
    async def deliver(self, record):
        return await super().deliver(OutgoingVcon(record.uuid, record.body[:5_000_000], record.sha512))


class GivesUpWhenDown(HttpPutSink):
    async def deliver(self, record):
        try:
            return await super().deliver(record)
        except Retry:
            raise Refused("unreachable") from None


class RaisesItsOwn(HttpPutSink):
    async def deliver(self, record):
        try:
            return await super().deliver(record)
        except Retry:
            raise ConnectionError("no answer") from None


class BlamesTheVcon(HttpPutSink):
    async def deliver(self, record):
        try:
            return await super().deliver(record)
        except Retry as why:
            raise Retry(why.reason) from None


class TriesForEver(HttpPutSink):
    async def deliver(self, record):
        try:
            return await super().deliver(record)
        except Refused as why:
            raise Retry(why.reason) from None


class SwallowsCancel(HttpPutSink):
    async def deliver(self, record):
        try:
            return await super().deliver(record)
        except asyncio.CancelledError:
            return Receipt(0, "somewhere")


class ErasesNothing(HttpPutSink):
    async def erase(self, uuid):
        return Receipt(204, self.address)


class LooksByDelivering(HttpPutSink):
    async def look(self):
        await self._ask("PUT", f"{self.address}/probe.json", {201}, b"{}")
        return [Seen("ok", "it takes files")]


class SeesNothing(HttpPutSink):
    async def look(self):
        return [Seen("ok", "well")]


class Sleeps(HttpPutSink):
    async def deliver(self, record):
        time.sleep(0.001)  # noqa: ASYNC251 - that is what is broken
        return await super().deliver(record)


class OpensFiles(HttpPutSink):
    async def deliver(self, record):
        Path("/dev/null").write_bytes(record.body)  # noqa: ASYNC240 - that is what is broken
        return await super().deliver(record)


class LogsTheToken(HttpPutSink):
    async def deliver(self, record):
        structlog.get_logger().info("sending", token=self._config.token)
        return await super().deliver(record)


class LogsContent(HttpPutSink):
    async def deliver(self, record):
        structlog.get_logger().info("sending", body=record.body[:200])
        return await super().deliver(record)


class ClosesOnce(HttpPutSink):
    async def close(self):
        await self._session.close()


class LeavesATask(HttpPutSink):
    async def deliver(self, record):
        self.forgotten = asyncio.create_task(self.dawdle())
        return await super().deliver(record)

    async def dawdle(self):
        await asyncio.sleep(600)


@pytest.mark.parametrize(
    ("broken", "guard"),
    [
        (TakesAnyKey, "it_says_what_it_is_and_what_it_takes"),
        (ChangesBytes, "a_vcon_arrives_as_it_is"),
        (MakesDoubles, "the_same_again_is_no_second_record"),
        (MakesDoubles, "the_same_again_after_a_restart_is_no_second_record"),
        (MakesDoubles, "a_lost_answer_makes_no_second_record"),
        (SaysNothingOfTarget, "a_vcon_arrives_as_it_is"),
        (CutsLargeOnes, "a_large_vcon_arrives_whole_and_a_larger_one_than_it_takes_not_at_all"),
        (GivesUpWhenDown, "a_receiver_that_is_down_is_tried_again"),
        (RaisesItsOwn, "a_receiver_that_is_down_is_tried_again"),
        (BlamesTheVcon, "a_receiver_that_is_down_is_tried_again"),
        (TriesForEver, "a_no_for_good_is_refused_and_others_go_on"),
        (SwallowsCancel, "cancelled_anywhere_it_is_there_whole_or_not_at_all"),
        (SwallowsCancel, "a_delivery_that_hangs_ends_when_it_is_cancelled"),
        (ErasesNothing, "what_is_erased_is_gone_and_an_unknown_one_is_fine"),
        (LooksByDelivering, "a_look_hands_nothing_over_and_changes_nothing"),
        (SeesNothing, "a_look_hands_nothing_over_and_changes_nothing"),
        (Sleeps, "a_vcon_arrives_as_it_is"),
        (OpensFiles, "a_vcon_arrives_as_it_is"),
        (LogsTheToken, "a_vcon_arrives_as_it_is"),
        (LogsContent, "a_vcon_arrives_as_it_is"),
        (ClosesOnce, "it_is_closed_twice_and_leaves_nothing_running"),
        (LeavesATask, "it_is_closed_twice_and_leaves_nothing_running"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_broken_rule_is_noticed(httpput_rig, broken, guard):
    with pytest.raises((AssertionError, AttributeError, PeerError, pytest.fail.Exception)) as noticed:
        getattr(SinkConformance(), f"test_{guard}")(httpput_rig(broken))
    print(f"{broken.__name__}: {noticed.value}")
    del noticed
    gc.collect()  # what the sink left open complains now, not in the next test
