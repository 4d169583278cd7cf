"""The example passes the suite, and links that break a rule of it do not."""

import socket

import pytest
from vcond_durations import DurationLink

from vcond.base.errors import ConfigError
from vcond.sdk.link import LinkedVcon, LinkOptions, linked
from vcond.testing.links import LinkConformance
from vcond.vcon import validate


def vcon(number: int, seconds: float) -> dict:
    return {
        "vcon": "0.4.0", "uuid": f"019b8d1a-0000-8000-8000-{number:012x}", "created_at": "2026-11-30T12:00:00Z",
        "parties": [{"tel": "+12125550143"}], "analysis": [], "attachments": [],
        "dialog": [{"type": "text", "start": "2026-11-30T12:00:00Z", "parties": 0, "duration": seconds, "mediatype": "text/plain",
                    "encoding": "none", "body": "hello"}],
    }  # fmt: skip


VCONS = vcon(1, 4.2), vcon(2, 61)


class TestDurationsConformance(LinkConformance):
    @pytest.fixture
    def link(self):
        return DurationLink(LinkOptions())

    @pytest.fixture
    def vcons(self):
        return VCONS


def test_what_it_makes_is_valid():
    (made,) = DurationLink(LinkOptions()).work(VCONS[0])
    assert [one for one in validate(linked(VCONS[0], made, "durations", 0)) if one.level == "error"] == []


def test_its_settings_are_typed():
    with pytest.raises(ConfigError, match="vendor"):
        DurationLink(LinkOptions(settings={"vendor": 7}))


class Broken(DurationLink):
    """One way to be wrong."""

    def __init__(self, how):
        super().__init__(LinkOptions())
        self.how, self.seen = how, 0

    def work(self, vcon):
        self.seen += 1
        match self.how:
            case "many":
                yield from [LinkedVcon(vcon)] * 9
            case "dict":
                yield vcon
            case "relation":
                yield LinkedVcon(vcon, "group")
            case "parts":
                yield LinkedVcon({"dialog": ["hello"], "created_at": "2026-11-30T12:00:00Z"})
            case "counts":
                yield LinkedVcon({**vcon, "subject": str(self.seen)})
            case "changes":
                vcon["subject"] = "changed"
                yield LinkedVcon(vcon)
            case "odd":
                yield LinkedVcon({**vcon, "subject": vcon["dialog"][0]["body"].upper()})
            case "network":
                socket.create_connection(("127.0.0.1", 9))
                yield LinkedVcon(vcon)


@pytest.mark.parametrize(
    ("how", "test", "error"),
    [
        ("many", "what_it_makes_are_whole_vcons_that_say_what_they_come_from", AssertionError),
        ("dict", "what_it_makes_are_whole_vcons_that_say_what_they_come_from", AssertionError),
        ("relation", "what_it_makes_are_whole_vcons_that_say_what_they_come_from", AssertionError),
        ("parts", "what_it_makes_are_whole_vcons_that_say_what_they_come_from", AssertionError),
        ("counts", "it_makes_the_same_of_the_same_and_keeps_nothing_for_the_next", AssertionError),
        ("changes", "what_it_was_shown_stays_as_it_is", AssertionError),
        ("odd", "odd_vcons_are_no_reason_to_fail", KeyError),
    ],
)
def test_a_link_that_breaks_a_rule_fails(how, test, error):
    with pytest.raises(error):
        getattr(LinkConformance(), f"test_{test}")(Broken(how), VCONS)


def test_one_that_asks_the_network_fails(monkeypatch):
    with pytest.raises(AssertionError):
        LinkConformance().test_it_needs_no_network(Broken("network"), VCONS, monkeypatch)


def test_one_that_prints_fails(capfd, caplog):
    class Prints(DurationLink):
        def work(self, vcon):
            print(vcon["subject"] if "subject" in vcon else vcon["uuid"])
            yield from super().work(vcon)

    with pytest.raises(AssertionError):
        LinkConformance().test_nothing_of_a_vcon_is_printed(Prints(LinkOptions()), VCONS, capfd, caplog)
