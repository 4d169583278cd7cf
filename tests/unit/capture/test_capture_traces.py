"""Traces of calls: what is sent, read by OpenTelemetry's own types; what never is; and a receiver that does not take them."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from capture_kit import Shelf, ended, finishing, idle
from prometheus_client import REGISTRY

from vcond.base.backoff import Backoff
from vcond.base.time import SECOND, Instant
from vcond.publish import traces as module
from vcond.publish.telling import Findings
from vcond.publish.traces import Traces
from vcond.testing.needs import needs


class Receiver:
    """Of OTLP over HTTP: what it got, after answers of which the last stays."""

    def __init__(self, *answers: int) -> None:
        self.answers, self.bodies, self.asked = [*answers] or [200], [], 0
        self.changed = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.content_type == "application/json"
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        async with self.changed:
            self.asked += 1
            if status == 200:
                self.bodies.append(body)
            self.changed.notify_all()
        return web.json_response({}, status=status)

    async def until(self, true) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(true)

    @property
    def spans(self) -> list:
        return [one for body in self.bodies for one in read(body)]


def read(body: bytes) -> list:
    """Spans, by OpenTelemetry's own types, which refuse what is no field of theirs. OTLP's JSON has ids in hex, that of protobuf in base64."""
    needs(importlib.util.find_spec("opentelemetry"), "opentelemetry-proto is missing: make setup")
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    document = json.loads(body)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for one in scope["spans"]:
                for key in {"traceId", "spanId", "parentSpanId"} & one.keys():
                    one[key] = base64.b64encode(bytes.fromhex(one[key])).decode()
    request = json_format.ParseDict(document, ExportTraceServiceRequest())
    (resource,) = request.resource_spans
    told = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (told["service.name"], told["host.name"]) == ("vcond", "edge.example.com")
    return list(resource.scope_spans[0].spans)


@asynccontextmanager
async def sending(house, receiver: Receiver, monkeypatch):
    monkeypatch.setattr(module, "GATHER", 0)
    monkeypatch.setattr(module, "AGAIN", Backoff(0, 0))
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    traces = Traces(f"http://127.0.0.1:{port}/v1/traces", "edge.example.com", house.clock.now)
    task = asyncio.create_task(traces.run())
    try:
        yield traces
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


async def test_a_call_is_one_trace_of_its_uuid(house, tmp_path, monkeypatch):
    receiver = Receiver()
    async with sending(house, receiver, monkeypatch) as traces, finishing(house, Shelf(), tmp_path) as finisher:
        finisher.findings = Findings({}, traces)
        call, journal = ended(house)
        house.now(3)
        finisher.submit(call, journal)
        await idle(finisher)
        house.now(5)
        traces.delivered(call.uuid)
        traces.delivered(call.uuid)
        traces.delivered("another")
        await receiver.until(lambda: len(receiver.spans) == 5)
    spans = {one.name: one for one in receiver.spans}
    assert {one.trace_id.hex() for one in receiver.spans} == {call.uuid.replace("-", "")}
    root = spans["call"]
    assert root.parent_span_id == b""
    assert {one.parent_span_id for one in receiver.spans if one is not root} == {b"", root.span_id}
    assert len({one.span_id for one in receiver.spans}) == 5
    lasted = {
        name: (
            (one.start_time_unix_nano - call.state.opened) / SECOND,
            (one.end_time_unix_nano - call.state.opened) / SECOND,
        )
        for name, one in spans.items()
    }
    assert lasted == {
        "call": (0, 3), "ringing": (0, 0), "conversation": (0, 2), "record": (2, 3), "delivery": (3, 5),
    }  # fmt: skip
    told = {one.key: one.value for one in root.attributes}
    assert (told["vcond.adapter"].string_value, told["vcond.outcome"].string_value) == ("test", "answered")
    assert (told["vcond.parties"].int_value, told["vcond.tracks"].int_value) == (2, 2)
    assert [one.string_value for one in told["vcond.findings"].array_value.values] == []


async def test_only_fixed_words_and_counts_leave(house, monkeypatch):
    receiver = Receiver()
    async with sending(house, receiver, monkeypatch) as traces:
        call, journal = ended(house)
        call.state.key = "k-secret"
        traces.made(call.state, ["one-way-audio"])
        await receiver.until(lambda: bool(receiver.bodies))
        journal.close()
    values = re.findall(r'"(?:stringValue|name)": "([^"]*)"', receiver.bodies[0].decode())
    fixed = {
        "vcond",
        "edge.example.com",
        "test",
        "answered",
        "one-way-audio",
        "call",
        "ringing",
        "conversation",
        "record",
    }
    assert {*values} == fixed | {module.__version__}
    assert b"k-secret" not in receiver.bodies[0]


async def test_a_receiver_that_is_down_gets_all_later_and_one_that_refuses_is_not_asked_again(house, monkeypatch):
    receiver = Receiver(503, 429, 200, 400)
    async with sending(house, receiver, monkeypatch) as traces:
        call, journal = ended(house)
        traces.made(call.state, [])
        await receiver.until(lambda: len(receiver.spans) == 4)
        assert receiver.asked == 3
        before = REGISTRY.get_sample_value("vcond_dropped_total", {"what": "span", "reason": "refused"}) or 0
        traces.delivered(call.uuid)
        await receiver.until(lambda: receiver.asked == 4)
        while traces._spans:  # noqa: ASYNC110 - it has read the answer, and is about to
            await asyncio.sleep(0)
        dropped = REGISTRY.get_sample_value("vcond_dropped_total", {"what": "span", "reason": "refused"})
        assert dropped == before + 1
        journal.close()


async def test_what_waits_is_bounded_and_what_is_dropped_is_counted(house, monkeypatch):
    monkeypatch.setattr(module, "MAX_SPANS", 10)
    monkeypatch.setattr(module, "MAX_CALLS", 3)
    traces = Traces("http://127.0.0.1:1/v1/traces", "edge", house.clock.now)
    before = REGISTRY.get_sample_value("vcond_dropped_total", {"what": "span", "reason": "not-read"}) or 0
    call, journal = ended(house)
    for number in range(5):
        call.state.uuid = f"{number}"
        traces.made(call.state, [])
    assert len(traces._spans) == 10
    assert [*traces._made] == ["2", "3", "4"]
    assert REGISTRY.get_sample_value("vcond_dropped_total", {"what": "span", "reason": "not-read"}) == before + 10
    journal.close()


@pytest.mark.parametrize("answered", [True, False])
async def test_nothing_that_listens_costs_a_line_of_the_log_and_no_more(house, monkeypatch, answered):
    monkeypatch.setattr(module, "GATHER", 0)
    lines, tries = [], asyncio.Event()
    monkeypatch.setattr(module.log, "warning", lambda *words, **_: lines.append(words), raising=False)

    class Failing(Backoff):
        def wait(self, failures, uniform=None):
            if failures == 3:
                tries.set()
            return 0.0

    monkeypatch.setattr(module, "AGAIN", Failing(0, 0))
    traces = Traces("http://127.0.0.1:1/v1/traces", "edge", house.clock.now)
    call, journal = ended(house, answered=answered)
    traces.made(call.state, [])
    assert [one["name"] for one in traces._spans] == (
        ["call", "ringing", "conversation", "record"] if answered else ["call", "ringing", "record"]
    )
    task = asyncio.create_task(traces.run())
    async with asyncio.timeout(60):
        await tries.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(lines) == 1
    assert len(traces._spans) >= 3
    journal.close()


async def test_a_host_that_can_have_no_name_ends_nothing(monkeypatch):
    monkeypatch.setattr(module, "GATHER", 0)
    traces = Traces("http://otel..example.com/v1/traces", "edge", lambda: Instant(0))
    traces._made["a"] = Instant(0)
    traces.delivered("a")
    async with aiohttp.ClientSession() as session:
        said = await traces._send_all(session)
    assert said in {"UnicodeError", "UnicodeEncodeError"}  # the latter from Python 3.13 on
