"""The suite that every link of a hub passes, ours and third parties'.

class TestConformance(LinkConformance):
    @pytest.fixture
    def link(self):
        return AcmeLink(LinkOptions(settings={...}))

    @pytest.fixture
    def vcons(self):
        return {...}, {...}
"""

# ruff: noqa: D102 - the name of a test says what it shows

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import msgspec
import pytest

from vcond.base.errors import VcondError
from vcond.sdk.link import MOST, Link, LinkedVcon, linked, linked_uuid

ROUNDS = 20
"""How often the same vCon is shown, from several threads."""
MEMBERS = "parties", "dialog", "analysis", "attachments"
ODD: tuple[dict[str, Any], ...] = (
    {},
    {member: [] for member in MEMBERS},
    {"parties": [{}], "dialog": [{}], "analysis": [{}], "attachments": [{}]},
    {"subject": "\ud83d", "dialog": [{"type": "recording", "start": "yesterday", "duration": "long", "parties": None, "body": 7}]},
    {"attachments": [{"purpose": "tags", "body": "no JSON"}, {"type": "tags", "body": {"a": 1}}, {"purpose": 3, "body": None}]},
    {"analysis": [{"type": "transcript", "dialog": 9, "body": {"words": None}}], "extensions": None, "group": []},
)  # fmt: skip
"""As a hub takes them, too: no validator stands before it."""


class LinkConformance:
    """See the module."""

    @pytest.fixture
    def link(self) -> Link:
        """The link, made."""
        raise NotImplementedError

    @pytest.fixture
    def vcons(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Two that differ, with uuids of their own, of each of which the link makes something."""
        raise NotImplementedError

    def test_what_it_makes_are_whole_vcons_that_say_what_they_come_from(
        self, link: Link, vcons: tuple[dict[str, Any], dict[str, Any]]
    ) -> None:
        for shown in vcons:
            found = made(link, shown)
            assert 0 < len(found) <= MOST
            for place, one in enumerate(found):
                whole = msgspec.json.decode(msgspec.json.encode(linked(shown, one, "suite", place)))
                assert whole["uuid"] == linked_uuid(shown["uuid"], "suite", place)
                assert whole[one.relation]["uuid"] == shown["uuid"]
                assert isinstance(whole["created_at"], str)
                assert whole.get("vcon", "0.4.0") == shown.get("vcon", "0.4.0")
                for member in MEMBERS:
                    assert all(isinstance(item, dict) for item in whole.get(member, [])), member

    def test_it_makes_the_same_of_the_same_and_keeps_nothing_for_the_next(
        self, link: Link, vcons: tuple[dict[str, Any], dict[str, Any]]
    ) -> None:
        first, second = (msgspec.json.encode(made(link, one)) for one in vcons)
        assert first != second
        with ThreadPoolExecutor(4) as threads:
            again = list(threads.map(lambda at: msgspec.json.encode(made(link, vcons[at % 2])), range(ROUNDS)))
        assert again == [first, second] * (ROUNDS // 2)

    def test_what_it_was_shown_stays_as_it_is(self, link: Link, vcons: tuple[dict[str, Any], dict[str, Any]]) -> None:
        for shown in vcons:
            before = copy.deepcopy(shown)
            list(link.work(shown))
            assert shown == before

    def test_odd_vcons_are_no_reason_to_fail(self, link: Link, vcons: tuple[dict[str, Any], dict[str, Any]]) -> None:
        head = {name: vcons[0][name] for name in ("uuid", "created_at")}
        for odd in ODD:
            try:
                made(link, {**head, **odd})
            except VcondError as why:
                assert str(why)  # noqa: PT017 - one that says why it makes nothing is fine

    def test_it_needs_no_network(
        self, link: Link, vcons: tuple[dict[str, Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: Any, **__: Any) -> NoReturn:
            raise AssertionError("a link needs no network")

        monkeypatch.setattr(socket.socket, "connect", refused)
        monkeypatch.setattr(socket, "getaddrinfo", refused)
        for shown in vcons:
            made(link, shown)

    def test_nothing_of_a_vcon_is_printed(
        self, link: Link, vcons: tuple[dict[str, Any], dict[str, Any]],
        capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        for shown in vcons:
            made(link, shown)
        assert "".join(capfd.readouterr()) + caplog.text == ""


def made(link: Link, vcon: dict[str, Any]) -> list[LinkedVcon]:
    """All that it makes of a copy, each as the contract has it."""
    found: Iterator[Any] = iter(link.work(copy.deepcopy(vcon)))
    whole = list(found)
    assert all(isinstance(one, LinkedVcon) and one.relation in {"amended", "redacted"} for one in whole)
    return whole
