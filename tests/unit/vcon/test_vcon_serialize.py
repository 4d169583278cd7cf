from __future__ import annotations

import gzip
import time
from contextlib import suppress

import pytest

from vcond.base.errors import PeerError, ProtocolError
from vcond.vcon import pack, read, serialize, validate


def test_bytes_are_compact_and_in_order():
    assert serialize({"b": 1.0, "a": ["é", None, True]}) == '{"b":1.0,"a":["é",null,true]}'.encode()


def test_gzip_is_repeatable_and_read_back():
    document = {"uuid": "x", "subject": "é" * 1000}
    assert pack(document) == pack(document)
    assert read(pack(document)) == document
    assert gzip.decompress(pack(document)) == serialize(document)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b'"x"', b"{", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":1e999}',
        b"[" * 500_000, b'{"a":' * 100_000, b"\x1f\x8b", b"\x1f\x8bnonsense", pack({"a": 1})[:-1],
        pack({"a": 1}) + b"more", b'{"a":1} x',
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_vcon_is_the_peers_fault(data):
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert isinstance(caught.value, PeerError)


def test_limits_hold_for_plain_and_for_packed():
    document = {"subject": "x" * 10_000}
    assert read(serialize(document), 20_000) == document
    for data in (serialize(document), pack(document), gzip.compress(b" " * 50_000_000)):
        with pytest.raises(ProtocolError):
            read(data, 10_000)


HOSTILE = {
    "deep": b'{"parties":' + b"[" * 900 + b"]" * 900 + b"}",
    "empty-parties": b'{"uuid":"x","parties":[' + b"{}," * 300_000 + b"{}]}",
    "indices": b'{"parties":[{}],"dialog":[{"type":"recording","parties":[' + b"0," * 480_000 + b"0]}]}",
    "sets": b'{"dialog":[{"type":"recording-set","recordings":[' + b"1," * 300_000 + b"1]}"
    + b',{"type":"recording","recording_set":0}' * 10_000 + b"]}",
    "history": b'{"parties":[{}],"dialog":[{"type":"text","party_history":['
    + b'{"party":0,"time":"2026-11-22T09:00:00Z","event":"join"},' * 17_000 + b"{}]}]}",
    "names": b'{"extensions":["x"],"parties":[{' + b",".join(b'"k%d":0' % n for n in range(80_000)) + b"}]}",
    "string": b'{"dialog":[{"type":"text","encoding":"base64url","body":"' + b"A" * 1_000_000 + b'*"}]}',
    "json-string": b'{"analysis":[' + b'{"encoding":"json","body":"[[[[[[[["},' * 25_000 + b"{}]}",
    "words": b'{"analysis":[{"type":"wtf_transcription","vendor":"v","dialog":0,"encoding":"json","body":{"segments":[],'
    b'"words":[' + b'{"id":1,"start":0.1,"end":0.2,"text":"a","confidence":1},' * 17_000 + b"{}]}}]}",
    "number": b'{"dialog":[{"type":"text","duration":' + b"9" * 1_000_000 + b"}]}",
    "padding": b'{"dialog":[{"type":"text","encoding":"base64url","body":"' + b"=" * 1_000_000 + b'"}]}',
    "extensions": b'{"extensions":[' + b'"CC",' * 200_000 + b'"CC"]}',
    "critical": b'{"extensions":[' + b'"CC",' * 100_000 + b'"WTF"],"critical":[' + b'"CC",' * 100_000 + b'"CC"]}',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_malice_is_read_and_judged_in_no_time(name):
    """Measured 0.01 to 0.4 s of processor time; quadratic work would take minutes. The bench holds the exact figure."""
    before = time.process_time()
    with suppress(ProtocolError):
        validate(read(HOSTILE[name]))
    assert time.process_time() - before < 5.0
