from __future__ import annotations

import msgspec
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.state import Call, fold
from vcond.speech.config import Route, SpeechConfig
from vcond.speech.engine import Hint
from vcond.speech.routes import RecognitionOptions, Routes
from vcond.speech.workers import messages

AT = Instant(1_795_339_662_000_000_000)


def call(*more: ev.Event, adapter: str = "asterisk", callee: str = "+4930123") -> Call:
    events = [
        ev.CallOpened(at=AT, call="uuid", adapter=adapter, key="k", direction="inbound", recorder="r", software="s"),
        ev.PartyJoined(at=AT, party=0, key="a", who=ev.PartyInfo(tel="+4930999")),
        ev.PartyJoined(at=AT, party=1, key="b", who=ev.PartyInfo(tel=callee)),
        *more,
    ]
    return fold(events)


def fact(name: str, value: str, party: int | None = None) -> ev.CallAttribute:
    return ev.CallAttribute(at=AT, name=name, value=value, party=party)


def routes(*tables: dict[str, object], **speech: object) -> Routes:
    return Routes(msgspec.convert({**speech, "routes": list(tables)}, SpeechConfig))


def test_without_a_route_it_is_what_the_configuration_says() -> None:
    assert routes(language="en").recognition_options(call()) == RecognitionOptions("en", None)
    assert (
        routes({"match": {"adapter": "twilio"}, "language": "de"}).recognition_options(call()) == RecognitionOptions()
    )


def test_the_first_route_that_matches_counts() -> None:
    both = routes({"language": "de"}, {"match": {"adapter": "asterisk"}, "language": "fr"})
    assert both.recognition_options(call()).language == "de"
    by_adapter = routes({"match": {"adapter": "twilio"}, "language": "de"}, {"language": "fr"})
    assert by_adapter.recognition_options(call()).language == "fr"
    assert by_adapter.recognition_options(call(adapter="twilio")).language == "de"


@pytest.mark.parametrize(
    ("pattern", "number", "is_so"),
    [
        ("+4930123", "+4930123", True),
        ("+4930123", "+49301234", False),
        ("+4930*", "+4930123", True),
        ("+4930*", "+4940123", False),
        ("*98", "*98", True),
        ("*98", "198", False),
        ("*", "", False),
    ],
)
def test_a_dialled_number_is_named_whole_or_by_its_beginning(pattern: str, number: str, is_so: bool) -> None:
    found = routes({"match": {"dialled": pattern}, "language": "de"}).recognition_options(call(callee=number))
    assert (found.language == "de") is is_so


def test_what_the_pbx_says_was_dialled_comes_before_whom_it_reached() -> None:
    german = routes({"match": {"dialled": "0800*"}, "language": "de"})
    assert german.recognition_options(call(callee="08001")).language == "de"
    assert german.recognition_options(call(fact("dialled", "08001"), callee="agent")).language == "de"
    assert german.recognition_options(call(fact("dialled", "1"), callee="08001")).language == ""
    assert routes({"match": {"dialled": "+4930999"}, "language": "de"}).recognition_options(call()).language == ""


def test_facts_of_the_call_and_of_parties_and_tags_are_named() -> None:
    german = routes({"match": {"attributes": {"parameter.lang": "de*", "queue": "sales"}}, "language": "de"})
    assert german.recognition_options(call(fact("parameter.lang", "de-AT"))).language == ""
    assert german.recognition_options(call(fact("parameter.lang", "de-AT"), fact("queue", "sales", 1))).language == "de"
    tagged = ev.Tagged(at=AT, name="queue", value="sales")
    assert german.recognition_options(call(fact("parameter.lang", "de"), tagged)).language == "de"


def test_a_route_has_its_own_vocabulary_none_or_that_of_the_configuration() -> None:
    own = {"match": {"dialled": "1"}, "vocabulary": ["ja", "nein"]}
    free = {"match": {"dialled": "2"}, "vocabulary": []}
    inherits = {"match": {"dialled": "3"}, "language": "de-CH"}
    found = [routes(own, free, inherits, language="de").recognition_options(call(callee=to)) for to in ("1", "2", "3")]
    assert found == [
        RecognitionOptions("de", ("ja", "nein")),
        RecognitionOptions("de", ()),
        RecognitionOptions("de-CH", None),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"language": "de de"},
        {"match": {"number": "1"}},
        {"match": {"attributes": {"": "x"}}},
        {"match": {"attributes": {"x": ""}}},
        {"vocabulary": [""]},
        {"vocabulary": ["안녕하세요" * 12] * 10_000},
    ],
)
def test_a_route_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        routes(wrong)


def test_the_longest_vocabulary_goes_to_a_worker_in_one_message() -> None:
    words = ["안녕하세요" * 12] * 2_700
    hint = Hint(
        8000, "ko", Routes(SpeechConfig(routes=[Route(vocabulary=words)])).recognition_options(call()).vocabulary or ()
    )
    assert messages.request(messages.pack(messages.Open(1, hint))[4:]) == messages.Open(1, hint)
    with pytest.raises(msgspec.ValidationError, match="vocabulary is longer"):
        msgspec.convert({"vocabulary": words + words}, SpeechConfig)
