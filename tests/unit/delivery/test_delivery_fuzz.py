"""What receivers answer, changed anywhere: each answer has a meaning, and none is a mistake of ours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from yarl import URL

from vcond.delivery.sinks import answers, conserver, http_answers, s3_answers
from vcond.delivery.sinks.http_client import Answer
from vcond.sdk.sink import Refused, Retry
from vcond.testing.changed import spoiled

AT = URL("https://conserver.example/api/vcon?x=1")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
DEEP = b'{"detail":' + b"[" * 100_000
BODIES = [
    b'{"detail":[{"type":"missing","loc":["body","uuid"],"msg":"Field required","input":null}]}',
    b'{"detail":"Invalid API key"}', b'{"uuid":"019a5b2e-0000-7000-8000-000000000001","vcon":"0.4.0"}', b"404 page not found",
    b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx/1.22.1</center></body></html>",
    b"<?xml version='1.0'?><Error><Code>NoSuchBucket</Code><Key>a&lt;b</Key></Error>",
]  # fmt: skip
DATES = [b"Tue, 01 Dec 2026 03:00:00 GMT", b"120", b"Mon, 01 Jan 0001 00:00:00 -2359"]
PIECES = [b"{", b"[", DEEP, b'"', b"\xff", b"\0", b"9" * 30, b"<Code>", b"<Key>", b"</Key>", b"null", b"-", b"+", b"http://[", b"//", b":", b"application/json"]  # fmt: skip
STATUSES = [200, 201, 204, 301, 302, 400, 401, 403, 404, 407, 409, 413, 422, 429, 500, 502, 503, 507]


@pytest.mark.fuzz
def test_every_answer_has_a_meaning(fuzz):
    for chance in fuzz.rounds(5000):
        body = spoiled(chance.choice(BODIES), chance, PIECES)
        word = spoiled(chance.choice(DATES), chance, PIECES).decode("utf-8", "surrogateescape")
        headers = {
            "Content-Type": chance.choice(("application/json", "application/problem+json", word)), "Retry-After": word,
            "Date": chance.choice((DATES[0].decode(), word)), "Location": word, "Server": word,
        }  # fmt: skip
        status = chance.choice(STATUSES)
        answer = Answer(status, headers, body)
        for told in (
            answers.not_taken(status, headers, body, AT), http_answers.not_done(answer, AT, "token"),
            s3_answers.not_stored(answer, AT), answers.no_conserver(status, body, AT),
        ):  # fmt: skip
            assert isinstance(told, Retry | Refused)
        conserver._clocks(headers, NOW)
        conserver._json(body)
        conserver._is_echo("019a5b2e-0000-7000-8000-000000000001", body)
        list(s3_answers.tags(body, "Key"))


@pytest.mark.parametrize("body", [DEEP, b'{"detail":[{"loc":["body"],"type":"\xff"}]}'])
@pytest.mark.parametrize("status", [400, 403, 422])
def test_an_answer_without_an_end_of_its_depth_or_not_in_utf_8_is_held_as_any_other(body, status):
    headers = {"Content-Type": "application/json"}
    assert isinstance(answers.not_taken(status, headers, body, AT), Retry)
    assert isinstance(http_answers.not_done(Answer(status, headers, body), AT, "token"), Retry)


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +99999999999999"])
def test_a_date_that_no_calendar_has_says_nothing(date):
    assert answers.retry_after({"Retry-After": date, "Date": "Tue, 01 Dec 2026 03:00:00 GMT"}) is None
    assert conserver._clocks({"Date": date}, NOW) == []
