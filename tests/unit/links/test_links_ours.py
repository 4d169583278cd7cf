"""The links that vcond brings: they pass the suite, and what they make is what is promised."""

import json
from pathlib import Path

import msgspec
import pytest

from vcond.base.errors import ConfigError
from vcond.publish.apart import ApartError
from vcond.publish.link_process import Answer, worked
from vcond.publish.link_sink import LinkSink
from vcond.publish.links.redact import RedactLink
from vcond.publish.links.tag import TagLink
from vcond.redaction.config import RedactionConfig
from vcond.sdk.link import LinkOptions, linked, linked_uuid
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.testing.changed import changed
from vcond.testing.links import LinkConformance
from vcond.vcon import read, validate

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
DATA = [read(path.read_bytes()) for path in sorted(GOLDEN.rglob("*.vcon.json"))[:2]]
REDACTION = msgspec.to_builtins(RedactionConfig())

MOST = 1 << 20
"""Bytes of a vCon that a link makes."""


ODD = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    "",
    "x",
    "tags",
    "recording",
    "2026-11-22T09:00:00Z",
    "\0",
    [],
    [0],
    [[0]],
    {},
    {"a": {}},
    ["a:b"],
    {"type": "text"},
)


def tag(**tags):
    return TagLink(LinkOptions(settings={"tags": tags}))


class TestTagConformance(LinkConformance):
    @pytest.fixture
    def link(self):
        return tag(team="support")

    @pytest.fixture
    def vcons(self):
        return DATA


class TestRedactConformance(LinkConformance):
    @pytest.fixture
    def link(self):
        return RedactLink(LinkOptions(redaction=REDACTION))

    @pytest.fixture
    def vcons(self):
        return DATA


def tags_of(vcon):
    return [one["body"] for one in vcon["attachments"] if one.get("purpose") == "tags"]


def errors(vcon):
    return [one for one in validate(vcon) if one.level == "error"]


def test_tags_are_added_to_those_that_are_there_and_the_vcon_is_valid():
    vcon = {**DATA[0], "amended": {"uuid": DATA[1]["uuid"], "url": "https://example.com/earlier"}}
    (made,) = tag(team="support", source="mine").work(vcon)
    whole = linked(vcon, made, "tag", 0)
    (before,), (after,) = tags_of(vcon), tags_of(whole)
    assert after == [*before, "team:support", "source:mine"]
    assert whole["amended"] == {"uuid": vcon["uuid"]}
    same = {name: value for name, value in whole.items() if name not in {"uuid", "amended", "attachments"}}
    assert same == {name: value for name, value in vcon.items() if name not in {"uuid", "amended", "attachments"}}
    assert errors(whole) == errors(DATA[0])  # of golden vCons, whose sound is told by its hash


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"queue": "sales"}, {"queue": "sales", "team": "support"}),
        (json.dumps(["queue:sales"]), ["queue:sales", "team:support"]),
        ("not JSON", ["team:support"]),
        (None, ["team:support"]),
    ],
)
def test_tags_are_read_in_every_form_that_conservers_write(body, wanted):
    attachments = [{"type": "tags", "body": body}] if body is not None else []
    (made,) = tag(team="support").work({**DATA[0], "attachments": attachments})
    assert [one["body"] for one in made.vcon["attachments"]] == [wanted]


def test_one_that_has_the_tags_stays_alone():
    assert list(tag(team="support").work({"attachments": [{"purpose": "tags", "body": ["team:support"]}]})) == []
    with pytest.raises(ConfigError, match="tags"):
        TagLink(LinkOptions())
    with pytest.raises(ConfigError, match="settings of its own"):
        RedactLink(LinkOptions(settings={"tone": True}, redaction=REDACTION))


def test_what_is_redacted_says_of_what_and_is_valid():
    (made,) = RedactLink(LinkOptions(redaction=REDACTION)).work(DATA[0])
    whole = linked(DATA[0], made, "redact", 0)
    assert whole["redacted"] == {"type": "pii-masked", "uuid": DATA[0]["uuid"]}
    assert whole["uuid"] == linked_uuid(DATA[0]["uuid"], "redact", 0) != DATA[0]["uuid"]
    assert errors(whole) == []


def test_uuids_differ_by_link_and_place_and_are_of_version_8():
    uuid = DATA[0]["uuid"]
    found = {linked_uuid(uuid, link, place) for link in ("a", "b") for place in range(3)}
    assert len(found) == 6
    assert {one[14] for one in found} == {"8"}
    assert {one[:13] for one in found} == {uuid[:13]}


def test_what_must_not_be_processed_is_not():
    answer = worked(tag(team="support"), "tag", json.dumps({**DATA[0], "critical": ["unknown"]}).encode(), MOST)
    assert (answer.made, "critical" in answer.error) == ([], True)
    assert worked(tag(team="support"), "tag", b"[]", MOST).error


def test_the_text_of_a_foreign_exception_is_not_told():
    class Fails:
        def work(self, vcon):
            raise KeyError(vcon["parties"][0]["tel"])

    answer = worked(Fails(), "fails", b'{"uuid": "x", "parties": [{"tel": "+12125550143"}]}', MOST)
    assert answer.error == "it failed with KeyError"


async def test_what_ends_a_process_is_tried_three_times_and_what_a_link_refuses_once(monkeypatch):
    body = b'{"uuid": "019b8d1a-0000-8000-8000-000000000001"}'
    record = OutgoingVcon("019b8d1a-0000-8000-8000-000000000001", body, "")
    sink = LinkSink("tag", "no.such:Module", LinkOptions(), seconds=60, most=1000, keep=lambda: None)
    asked = []

    def ended(question):
        asked.append(question)
        raise ApartError("its process ended without an answer, or does not start")

    monkeypatch.setattr(sink._apart, "asked", ended)
    for _ in range(2):
        for _ in range(2):
            with pytest.raises(Retry, match="link-failed") as retry:
                await sink.deliver(record)
            assert not retry.value.whole_sink
        with pytest.raises(Refused, match="link-failed") as refused:
            await sink.deliver(record)
        assert "(3 times)" in refused.value.answer
        assert f"vcond outbox retry {record.uuid} --sink link:tag" in refused.value.hint
    assert asked == [body] * 6
    monkeypatch.setattr(sink._apart, "asked", lambda _: msgspec.msgpack.encode(Answer(error="not this one")))
    with pytest.raises(Refused, match="link-failed") as refused:
        await sink.deliver(record)
    assert (refused.value.answer, refused.value.asked) == ("not this one", False)
    monkeypatch.setattr(sink._apart, "asked", lambda _: b"\xc1")
    with pytest.raises(Retry):
        await sink.deliver(record)
    await sink.close()


@pytest.mark.fuzz
def test_whatever_stands_in_a_vcon_ours_say_what_they_do_with_it(fuzz):
    """Never that they failed: whoever brought it may have written anything."""
    links = {"tag": tag(team="support"), "redact": RedactLink(LinkOptions(redaction=REDACTION))}
    for chance in fuzz.rounds(200):
        vcon = chance.choice(DATA)
        document = {**changed(vcon, chance, ODD), "uuid": vcon["uuid"]}  # a hub takes none without
        for name, link in links.items():
            error = worked(link, name, json.dumps(document).encode(), MOST).error
            assert "it failed with" not in error, (name, error, document)
