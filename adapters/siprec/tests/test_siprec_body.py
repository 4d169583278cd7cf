"""What is in a body, however its parts are put together."""

import pytest
from siprec_kit import all_names, message, shape_names

from vcond_siprec.body import MAX_BODY, MOST_PARTS, take_apart

# Of each shape: how many descriptions, whether there is metadata, and what else.
PARTS = {
    "shapes/01": (1, True, ()),
    "shapes/02": (0, True, ()),
    "shapes/03": (0, True, ()),
    "shapes/04": (1, True, ()),
    "shapes/05": (1, True, ()),
    "shapes/06": (1, True, ()),
    "shapes/07": (1, True, ()),
    "shapes/08": (1, True, ()),
    "shapes/09": (1, True, ("application/gtd",)),
    "shapes/10": (1, False, ()),
    "shapes/11": (0, False, ()),
    "shapes/12": (1, True, ()),
    "shapes/13": (0, True, ()),
    "shapes/14": (1, False, ()),
    "shapes/15": (1, True, ()),
    "shapes/16": (1, True, ()),
    "shapes/17": (0, True, ()),
    "shapes/18": (1, True, ()),
    "shapes/19": (1, True, ()),
    "shapes/20": (1, True, ()),
    "shapes/21": (1, True, ()),
    "shapes/22": (1, True, ()),
    "shapes/23": (1, True, ()),
}


def test_every_shape_has_its_expectation():
    assert sorted(PARTS) == shape_names()


@pytest.mark.parametrize("name", PARTS)
def test_the_parts_of_every_vendor_are_found(name):
    found = take_apart(*message(name)[1:])
    assert (len(found.descriptions), found.metadata is not None, found.others) == PARTS[name]
    assert all(part.lstrip().startswith(b"v=0") for part in found.descriptions)
    if found.metadata is not None:
        assert found.metadata.lstrip().startswith(b"<?xml")
        assert found.metadata.rstrip().endswith((b"recording>", b"recording_metadata>"))


@pytest.mark.parametrize("name", [name for name in all_names() if not name.startswith("shapes/")])
def test_the_parts_of_what_was_captured_are_found(name):
    found = take_apart(*message(name)[1:])
    assert len(found.descriptions) == 1
    assert (found.metadata is not None) == (not name.endswith(("-pause", "-resume")))


def test_what_stands_behind_a_boundary_and_around_it_is_no_content():
    text = b"preamble\r\n--b \t\r\nContent-Type:application/sdp\r\n\r\nv=0\r\n--b--  \r\nepilogue"
    assert take_apart("multipart/mixed;boundary=b", text).descriptions == (b"v=0",)


def test_a_boundary_that_nobody_named_is_the_first_line():
    text = b"--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b1--"
    assert take_apart("multipart/mixed", text).descriptions == (b"v=0",)


@pytest.mark.parametrize(
    "kind",
    [
        'Multipart/Mixed; Boundary="b1"', "multipart/mixed ; charset=utf-8; boundary = b1 ", "multipart/mixed boundary=b1",
        "multipart/mixed;boundary=another", "multipart/mixed;boundary='b1'", "",
    ],
)  # fmt: skip
def test_parts_are_found_however_the_type_is_written(kind):
    text = b"\r\n--b1\r\ncontent-type:Application/SDP\r\n\r\nv=0\r\n--b1--"
    assert take_apart(kind, text).descriptions == (b"v=0",)


def test_what_comes_without_a_type_is_what_it_looks_like():
    assert take_apart("", b"v=0\r\n").descriptions == (b"v=0\r\n",)
    assert take_apart("multipart/mixed;boundary=b", b"--b\r\n\r\nv=0\r\n--b--").descriptions == (b"v=0",)
    assert take_apart("", b"hello").others == ("text/plain",)


def test_parts_that_cannot_be_told_apart_are_something_else_and_not_nothing():
    assert take_apart("multipart/mixed;boundary=b", b"hello").others == ("multipart/mixed",)


def test_a_longer_line_is_no_boundary():
    text = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--bb\r\n--b--"
    assert take_apart("multipart/mixed;boundary=b", text).descriptions == (b"v=0\r\n--bb",)


def test_several_descriptions_stay_in_their_order():
    part = b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n"
    found = take_apart("multipart/mixed;boundary=b", part % b"v=0 one" + part % b"v=0 two" + b"--b--")
    assert found.descriptions == (b"v=0 one", b"v=0 two")


def test_too_many_parts_and_too_large_bodies_are_not_looked_at():
    part = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
    assert len(take_apart("multipart/mixed;boundary=b", part * 100).descriptions) == MOST_PARTS
    assert take_apart("application/sdp", b"v=0" + b" " * MAX_BODY).descriptions == ()


def test_base64_that_is_none_stays_what_it_is():
    text = b"--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\nv=0\r\n--b--"
    assert take_apart("multipart/mixed;boundary=b", text).descriptions == (b"v=0",)


@pytest.mark.parametrize("name", ["shapes/01", "shapes/12", "shapes/21", "opensips/10.5-plain-01"])
def test_nothing_that_is_cut_off_raises(name):
    _, kind, body = message(name)
    for end in range(0, len(body), 3):
        take_apart(kind, body[:end])
