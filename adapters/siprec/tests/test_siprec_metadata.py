"""Metadata in every vendor's spelling, and what becomes of several documents."""

import pytest
from siprec_kit import all_names, message

from vcond.base.errors import ProtocolError
from vcond.base.time import parse_rfc3339
from vcond_siprec.body import take_apart
from vcond_siprec.metadata import Document, parse
from vcond_siprec.participants import Participants, Speakers
from vcond_siprec.sdp import read
from vcond_siprec.xmltree import MAX_DEPTH, MAX_XML

ANN, BEN = "sip:+15550100@192.0.2.10", "sip:+15550200@192.0.2.20"


def documents(name):
    metadata = take_apart(*message(name)[1:]).metadata
    return parse(metadata)


def labels(name):
    (text,) = take_apart(*message(name)[1:]).descriptions
    return [line.label for line in read(text).lines if line.is_audio]


# Of each INVITE: who takes part, and who is heard on which line and how that is known.
HEARD = {
    "shapes/01": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/04": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/05": ([(ANN, "Müller & Söhne <x>"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/06": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/07": ([("+15550100", "1001"), ("15550200@192.0.2.20", "")], [((0,), "label"), ((1,), "label")]),
    "shapes/08": ([(ANN, "1001"), (BEN, "")], [((0,), "label"), ((1,), "label")]),
    "shapes/09": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/12": ([("sip:1001@pbx.example", ""), (f"{BEN};user=phone", "")], [((0, 1), "label")]),
    "shapes/15": ([("15550100", "Alice"), ("15550200", "Bob")], [((0, 1), "label")]),
    "shapes/16": ([(ANN, ""), ("sip:SBCE@sbce.example", "")], [((0,), "label")]),
    "shapes/18": ([("15550100@192.0.2.10", "Alice"), ("15550200@192.0.2.20", "")], [((1,), "label"), ((0,), "label")]),
    "shapes/19": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/20": ([(ANN, "Alice"), (BEN, "Bob")], [((0, 1), "order")]),
    "shapes/21": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "shapes/22": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "order"), ((1,), "order")]),
    "shapes/23": ([(ANN, "Alice"), (BEN, "Bob")], [((0,), "label"), ((1,), "label")]),
    "opensips/10.5-plain-01": (
        [("sip:alice@pbx.example", "Alice A"), ("sip:bob@pbx.example", "")], [((0,), "label"), ((1,), "label")],
    ),
    "opensips/26.3-plain-01": (
        [("sip:alice@pbx.example", "Alice A"), ("sip:bob@pbx.example", "")], [((0,), "label"), ((1,), "label")],
    ),
    "opensips/10.5-anon-01": (
        [("sip:alice@pbx.example", "Müller & Söhne <x>"), ("sip:bob@pbx.example", "")], [((0,), "label"), ((1,), "label")],
    ),
    "opensips/10.5-audio_video-01": (
        [("sip:alice@pbx.example", "Alice A"), ("sip:bob@pbx.example", "")], [((0,), "order"), ((1,), "order")],
    ),
    "opensips/26.3-audio_video-01": (
        [("sip:alice@pbx.example", "Alice A"), ("sip:bob@pbx.example", "")], [((0,), "order"), ((1,), "order")],
    ),
    "jambonz/default-invite": (
        [("sip:15550100@192.0.2.10", "15550100"), ("sip:15550200@192.0.2.20", "15550200")],
        [((0,), "label"), ((1,), "label")],
    ),
    "jambonz/smart_tap-invite": (
        [("15550100@192.0.2.10", ""), ("15550200@192.0.2.20", "")], [((0,), "label"), ((1,), "label")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEARD)
def test_it_is_known_who_takes_part_and_who_is_heard_on_which_line(name):
    people, heard = HEARD[name]
    state = Participants()
    state.take(documents(name))
    here = state.here
    assert [(state.people[one].aor, state.people[one].name) for one in here] == people
    expected = [Speakers(tuple(here[index] for index in who), rule, mixed=len(who) > 1) for who, rule in heard]
    assert state.speakers(labels(name)) == expected


@pytest.mark.parametrize("name", [name for name in all_names() if name.split("-")[-1] not in {"pause", "resume"}])
def test_only_what_a_display_name_broke_is_not_well_formed(name):
    metadata = take_apart(*message(name)[1:]).metadata
    if metadata is not None:
        assert parse(metadata).well_formed == ("anon" not in name and "illformed" not in name)


def test_ids_that_join_sessions_are_found():
    found = documents("opensips/10.5-group_headers-01")
    assert (found.groups, len(found.sessions), len(found.sip_sessions)) == (("sales",), 1, 1)
    assert documents("jambonz/smart_tap-invite").groups == ("f87e93a3-cbef-4117-ae01-69c917435e3f",)
    assert documents("shapes/09").sip_sessions == (
        "00112233445566778899aabbccddeeff;remote=ffeeddccbbaa99887766554433221100",
    )
    assert documents("shapes/12").groups == ("urn:uuid:00000000-0000-4000-8000-000000000002",)
    assert documents("shapes/12").sessions == ("urn:uuid:00000000-0000-4000-8000-000000000003",)
    assert documents("shapes/19").extras == {"groupseq": "1", "byaction": "XferSup", "xferredgroupid": "abc@192.0.2.9"}
    assert documents("jambonz/default-invite").extras["direction"] == "inbound"
    first, second = (documents(f"opensips/10.5-failover_{n}") for n in ("1st", "2nd"))
    assert first.sessions == second.sessions


@pytest.mark.parametrize(
    ("name", "began"),
    [
        ("shapes/01", "2026-11-29T09:15:29Z"),
        ("shapes/04", "2026-11-29T09:15:29Z"),
        ("shapes/07", "2026-11-29T09:15:29Z"),
        ("shapes/09", "2026-11-29T09:15:29.040Z"),
        ("shapes/12", "2026-11-29T09:15:29Z"),
        ("shapes/18", None),
        ("jambonz/default-invite", None),
        ("opensips/10.5-plain-01", "2026-11-29T09:33:04Z"),
    ],
)
def test_times_are_read_in_every_form_and_1970_is_none(name, began):
    assert documents(name).began == (None if began is None else parse_rfc3339(began))


def test_who_calls_is_a_vendors_word_before_the_order():
    assert [one.calling for one in documents("shapes/08").participants] == [True, False]
    text = b"<recording><participant id='b'/><participant id='a'><x><callingParty>true</callingParty></x></participant></recording>"
    state = Participants()
    state.take(parse(text))
    assert state.here == ["a", "b"]


def test_somebody_joins_and_leaves_by_partial_documents():
    state = Participants()
    for name in ("shapes/01", "shapes/02", "shapes/03"):
        state.take(documents(name))
        if name == "shapes/02":
            assert state.here == ["p1", "p2", "p3"]
    assert state.here == ["p1", "p3"]
    assert list(state.people) == ["p1", "p2", "p3"]
    assert state.speakers(["1", "2"])[0] == Speakers(("p1",), "label")
    assert "p2" not in [one for who in state.speakers(["1", "2"]) for one in who.participants]


def test_a_first_document_that_is_partial_is_taken_as_complete():
    state = Participants()
    state.take(parse(b"<recording><datamode>partial</datamode><participant participant_id='p'/></recording>"))
    assert state.here == ["p"]


def test_a_third_joins_a_mixed_line():
    state = Participants()
    state.take(documents("shapes/12"))
    state.take(documents("shapes/13"))
    assert len(state.here) == 3
    assert state.speakers(["1"]) == [Speakers(tuple(state.here), "label", mixed=True)]


def test_a_line_that_is_said_to_be_mixed_is_so_also_with_one_who_is_named():
    state = Participants()
    state.take(
        parse(
            b"<recording><participant id='p'><send>s</send></participant>"
            b"<stream id='s'><label>1</label><mode>mixed</mode></stream></recording>"
        )
    )
    assert state.speakers(["1"]) == [Speakers(("p",), "label", mixed=True)]


def test_a_placeholder_is_nobody_who_ever_sent():
    state = Participants()
    state.take(documents("shapes/16"))
    assert (state.stands_in("p1"), state.stands_in("p2")) == (False, True)
    state.take(documents("shapes/17"))
    assert state.here == ["p1", "p9"]
    assert state.speakers(["10", "20"]) == [Speakers(("p1",), "label"), Speakers(("p9",), "label")]


def test_a_document_that_names_nobody_changes_nobody():
    state = Participants()
    state.take(documents("shapes/01"))
    state.take(parse(b"<recording><datamode>complete</datamode><session session_id='x'/></recording>"))
    assert state.here == ["p1", "p2"]
    assert state.sessions[-1] == "x"


def test_a_document_that_says_nothing_of_streams_leaves_lines_whose_they_were():
    """Cisco leaves the associations empty while a line is inactive; label 2 is the first participant's."""
    state = Participants()
    state.take(documents("shapes/18"))
    (callee, caller) = before = state.speakers(labels("shapes/18"))
    assert (callee.participants[0], caller.participants[0]) == (state.here[1], state.here[0])
    people = "".join(f"<participant participant_id='{one}'/>" for one in state.here)
    state.take(parse(f"<recording><datamode>complete</datamode>{people}</recording>".encode()))
    assert state.speakers(labels("shapes/18"), before) == before
    assert state.speakers(labels("shapes/18")[:1], before[:1]) == before[:1]  # nor is it everybody's


def test_a_label_that_two_lines_have_says_nothing():
    state = Participants()
    state.take(documents("shapes/01"))
    assert [one.rule for one in state.speakers(["1", "1"])] == ["order", "order"]
    assert [one.participants for one in state.speakers(["1", "1"])] == [(one,) for one in state.here]


def test_a_label_of_zero_is_a_label():
    assert {stream.label for stream in documents("opensips/10.5-plain-01").streams} == {"1", "0"}


def test_without_anybody_a_line_is_nobodys():
    assert Participants().speakers(["1", None]) == [Speakers((), "nobody")] * 2


# What may not be.


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no xml",
        b"<recording>",
        b"<?xml version='1.0' encoding='no-such'?><recording/>",
        b"\xff\xfe\x00",
        b"<a>" * 10_000,
        b"<recording>" + b"<session>" * (MAX_DEPTH + 1),
        b"<recording><session session_id='s'/>" + b" " * MAX_XML + b"</recording>",
        b"<recording>" + b"<participant/>" * 20_000 + b"</recording>",
    ],
)
def test_what_is_no_metadata_is_refused(text):
    with pytest.raises(ProtocolError):
        parse(text)


def test_entities_of_a_document_of_its_own_are_not_read():
    bomb = b"<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><recording><participant id='p'><nameID aor='sip:a@b'><name>&b;</name></nameID></participant></recording>"
    found = parse(bomb)
    assert not found.well_formed
    assert found.participants[0].name == "&b;"


@pytest.mark.parametrize(
    "text", [b"<a b='" * 40_000, b"<a " + b" " * 200_000, b"<a " + b"b=' ' " * 40_000, b"<name>" + b"&" * 200_000]
)
def test_looking_for_tags_takes_time_as_the_text_is_long_and_not_its_square(text):
    with pytest.raises(ProtocolError):
        parse(text)  # a square of it would be hours


def test_numbers_of_everything_are_bounded():
    people = b"".join(b"<participant id='p%d'><send>s</send></participant>" % n for n in range(3000))
    found = parse(b"<recording>" + people + b"</recording>")
    assert len(found.participants) == len(found.sendings) == 200
    state = Participants()
    for turn in range(5):
        state.take(Document(participants=tuple(parse(people_of(turn)).participants)))
    assert (len(state.people), state.refused) == (500, 500)


def people_of(turn):
    people = b"".join(b"<participant id='%d-%d'/>" % (turn, n) for n in range(200))
    return b"<recording>" + people + b"</recording>"


@pytest.mark.parametrize("name", ["shapes/01", "shapes/12", "shapes/18", "opensips/10.5-anon-01"])
def test_metadata_that_is_cut_off_is_made_out_or_refused(name):
    text = take_apart(*message(name)[1:]).metadata
    for end in range(0, len(text), 7):
        try:
            state = Participants()
            state.take(parse(text[:end]))
            state.speakers(["1", "2"])
        except ProtocolError:
            continue
