"""Session timers (RFC 4028) and Digest (RFC 7616, RFC 8760)."""

import hashlib
import re

import pytest
from sip_kit import SDP, Table, field, fields, reply, request, status, tag

from vcond.base.time import SECOND, Instant
from vcond.sip.application import Answer, End
from vcond.sip.digest import Digest, Verdict
from vcond.sip.messages import Headers, Request
from vcond.sip.timers import Timers


@pytest.mark.parametrize(
    ("extra", "expires", "require"),
    [
        ("", None, None),
        ("Session-Expires: 1800;refresher=uac", None, None),  # it does not say that it knows them
        ("Session-Expires: 60", None, None),
        ("Supported: timer", "1800;refresher=uac", "timer"),
        ("Supported: timer\nMin-SE: 3600", "3600;refresher=uac", "timer"),
        ("Supported: 100rel, timer\nx: 900", "900;refresher=uac", "timer"),
        ("Require: timer\nSession-Expires: 900 ; refresher = UAC", "900;refresher=uac", "timer"),
        ("Supported: timer\nSession-Expires: 900;refresher=uas", "900;refresher=uas", None),
        ("Supported: timer\nSession-Expires: 999999999", "86400;refresher=uac", "timer"),
        ("Supported: timer\nSession-Expires: soon", "1800;refresher=uac", "timer"),
    ],
)
def test_what_is_agreed_on(extra, expires, require):
    table = Table()
    table.feed(request(body=SDP, extra=extra))
    (final,) = table.answer()
    assert (field(final, "Session-Expires"), field(final, "Require")) == (expires, require)


def test_too_short_an_interval_is_refused():
    (answer,) = Table().feed(request(extra="Supported: timer\nSession-Expires: 89"))
    assert (status(answer), field(answer, "Min-SE")) == (422, "90")


def test_a_session_that_is_not_refreshed_is_in_doubt_each_time():
    table = Table()
    local = table.call(extra="Supported: timer\nSession-Expires: 100")
    (dialog,) = table.core.dialogs
    table.pass_(60)
    table.feed(request("UPDATE", cseq=2, to_tag=local, extra="Supported: timer\nSession-Expires: 100;refresher=uac"))
    assert field(table.answer(Answer())[0], "Session-Expires") == "100;refresher=uac"
    table.pass_(99)
    assert table.doubts() == []
    table.pass_(1)
    assert table.doubts() == [End.EXPIRED]
    table.take(table.core.keep(dialog, table.now))
    table.pass_(100)
    assert table.doubts() == [End.EXPIRED] * 2
    table.take(table.core.hang_up(dialog, table.now, End.EXPIRED))
    table.pass_(200)
    assert table.doubts() == [End.EXPIRED] * 2


def test_a_refresh_without_a_timer_ends_the_timer():
    table = Table()
    local = table.call(extra="Supported: timer\nSession-Expires: 100")
    table.feed(request(cseq=2, to_tag=local, body=SDP))
    (final,) = table.answer()
    table.feed(request("ACK", cseq=2, to_tag=tag(final)))
    table.pass_(1000)
    assert table.doubts() == []


@pytest.mark.parametrize(
    ("answer", "doubts", "refreshes"),
    [
        ("200 OK\nSession-Expires: 200;refresher=uac", 0, 4),
        ("200 OK\nSession-Expires: 300;refresher=uas", 1, 1),
        ("200 OK", 0, 1),
        ("405 Method Not Allowed", 1, 1),
        ("481 Gone", 2, 1),
        ("", 1, 1),
    ],
)
def test_refreshes_of_ours(answer, doubts, refreshes):
    table = Table()
    table.call(extra="Supported: timer\nSession-Expires: 200;refresher=uas")
    seen = {}
    for _ in range(450):
        for _, data in table.pass_(1):
            if data.startswith(b"UPDATE") and seen.setdefault(field(data, "CSeq"), data) is data and answer:
                assert field(data, "Session-Expires") == "200;refresher=uac"
                table.feed(reply(data, *answer.split("\n")))
    assert (len(table.doubts()), len(seen)) == (doubts, refreshes)


def test_timers_forget_what_was_set_again():
    timers = Timers()
    for at in range(1000):
        timers.set("a", Instant(at))
    assert len(timers._heap) < 100
    assert list(timers.pop(Instant(998))) == []
    assert list(timers.pop(Instant(999))) == ["a"]
    timers.set("b", Instant(1))
    timers.drop("b")
    assert timers.due() is None


def authorization(challenge, *, user="sbc", password="secret", method="INVITE", nc=1, qop="auth", cheat=""):
    said = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge.removeprefix("Digest ")))
    hashed = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}[said["algorithm"]]

    def one(*parts: str) -> str:
        return hashed(":".join(parts).encode()).hexdigest()

    middle = (f"{nc:08x}", "cn", qop) if qop else ()
    response = one(one(user, said["realm"], password), said["nonce"], *middle, one(method, "sip:srs@x"))
    return (
        f'Authorization: Digest username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}{cheat}", uri="sip:srs@x",'
        f' response="{response}", algorithm={said["algorithm"]}'
        + (f', cnonce="cn", qop={qop}, nc={nc:08x}' if qop else "")
    )


@pytest.mark.parametrize(("which", "algorithm"), [(0, "SHA-256"), (1, "MD5")])
@pytest.mark.parametrize("qop", ["auth", ""])
def test_who_knows_the_password_may_call(which, algorithm, qop):
    table = Table(users={"sbc": "secret"}, realm="pbx.example")
    (refusal,) = table.feed(request(body=SDP))
    assert status(refusal) == 401
    challenges = fields(refusal, "WWW-Authenticate")
    assert [re.search(r"algorithm=([\w-]+)", challenge)[1] for challenge in challenges] == ["SHA-256", "MD5"]
    assert f"algorithm={algorithm}" in challenges[which]
    said = authorization(challenges[which], qop=qop)
    assert status(table.feed(request(cseq=2, body=SDP, extra=said))[0]) == 100
    assert status(table.answer()[0]) == 200
    (again,) = table.feed(request(cseq=3, call_id="overheard", extra=said))
    assert (status(again), "stale=true" in field(again, "WWW-Authenticate")) == (401, True)
    assert table.odd() == []


def test_a_nonce_serves_until_it_is_old():
    table = Table(users={"sbc": "secret"})
    challenge = fields(table.feed(request())[0], "WWW-Authenticate")[0]
    for count, code in ((1, 100), (2, 100), (2, 401), (9, 100), (3, 401)):
        said = authorization(challenge, nc=count)
        assert status(table.feed(request(cseq=count, call_id=f"{count}-{code}", extra=said))[0]) == code
    table.now = Instant(table.now + 301 * SECOND)
    (old,) = table.feed(request(call_id="late", extra=authorization(challenge, nc=10)))
    assert "stale=true" in field(old, "WWW-Authenticate")


@pytest.mark.parametrize(
    "change",
    [{"password": "x"}, {"user": "nobody"}, {"method": "BYE"}, {"qop": "auth-int"}, {"nc": 0}, {"cheat": "1"}],
)
def test_who_does_not_know_it_may_not(change):
    table = Table(users={"sbc": "secret"})
    challenge = fields(table.feed(request())[0], "WWW-Authenticate")[0]
    (refusal,) = table.feed(request(cseq=2, extra=authorization(challenge, **change)))
    assert (status(refusal), "stale" in refusal.decode()) == (401, False)
    assert table.odd() == ["password"]


@pytest.mark.parametrize(
    "text",
    ["Basic x", "NoOneKnowsThisScheme opaque-data=here", 'Digest realm="other"', 'Digest realm="vcond', "Digest", ""],
)
def test_what_answers_no_challenge_of_ours_gets_one(text):
    table = Table(users={"sbc": "secret"})
    assert status(table.feed(request(extra=f"Authorization: {text}"))[0]) == 401
    assert table.odd() == []


@pytest.mark.parametrize("nonce", ["", "zz.x", "f" * 40, "-1.x", "1.\udcff"])
def test_nonces_that_are_none_of_ours(nonce):
    digest = Digest("r", {"u": "p"}, secret=b"s")

    def one(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    response = one(one("u", "r", "p"), nonce, one("INVITE", "x"))
    value = f'Digest realm="r", username="u", uri="x", nonce="{nonce}", response="{response}"'
    request_ = Request("INVITE", "x", Headers([("authorization", value)]))
    assert digest.judge(request_, Instant(0)) is Verdict.STALE


def test_without_md5_only_sha_256_is_offered_and_taken():
    table = Table(users={"sbc": "secret"}, md5=False)
    (refusal,) = table.feed(request())
    (challenge,) = fields(refusal, "WWW-Authenticate")
    said = authorization(challenge.replace("SHA-256", "MD5"))
    assert status(table.feed(request(cseq=2, extra=said))[0]) == 401


def test_nonces_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr("vcond.sip.digest.NONCES", 2)
    table = Table(users={"sbc": "secret"})
    codes = []
    for number in range(4):
        table.now = Instant(table.now + SECOND)
        challenge = fields(table.feed(request(call_id=f"a{number}"))[0], "WWW-Authenticate")[0]
        codes.append(status(table.feed(request(cseq=2, call_id=f"b{number}", extra=authorization(challenge)))[0]))
    assert codes == [100, 100, 401, 401]
    table.now = Instant(table.now + 300 * SECOND)
    challenge = fields(table.feed(request(call_id="a9"))[0], "WWW-Authenticate")[0]
    assert status(table.feed(request(cseq=2, call_id="b9", extra=authorization(challenge)))[0]) == 100
