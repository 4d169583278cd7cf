"""What ``vcond check`` says of an Asterisk that is not as it should be."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest

from vcond_asterisk import AsteriskAdapter, Config
from vcond_asterisk.unreachable import NoAnswerError


@pytest.fixture
async def fake(make_fake):
    async with make_fake() as made:
        yield made


@pytest.fixture
def look(fake, login):
    async def run(**config):
        adapter = AsteriskAdapter(Config(**{"url": fake.url, "timeout": 2, **login, **config}))
        found = [finding async for finding in adapter.check()]
        assert all(finding.fix for finding in found if finding.level != "ok")
        return {finding.what: finding for finding in found}

    return run


async def test_all_is_well(fake, look):
    found = await look()
    assert {finding.level for finding in found.values()} == {"ok"}
    assert fake.helpers("vcond") == [], "the test of the return path is removed"


async def test_nothing_listens(look):
    found = await look(url="http://127.0.0.1:9")
    assert [finding.level for finding in found.values()] == ["error"]


async def test_the_url_may_end_with_ari(fake, look):
    for end in ("/ari", "/ari/", "/"):
        assert {finding.level for finding in (await look(url=fake.url + end)).values()} == {"ok"}


async def test_ari_that_is_switched_off(fake, look):
    fake.refuse[""] = 404
    (finding,) = (await look()).values()
    assert "there is no ARI" in finding.detail
    assert "ari.conf" in finding.fix
    assert "ari reload" not in finding.fix


async def test_an_application_that_somebody_has(fake, look):
    theirs = await fake.rob("vcond")
    finding = (await look())["application vcond"]
    assert (finding.level, finding.ours, "app" in finding.fix) == ("warning", True, True)
    theirs.close()


async def test_a_user_who_may_only_read_hears_of_that_alone(fake, look):
    fake.refuse |= {"POST": 403, "PUT": 403, "DELETE": 403}
    wrong = [finding for finding in (await look()).values() if finding.level != "ok"]
    assert wrong
    assert all("read_only" in finding.fix for finding in wrong)


@pytest.mark.parametrize(
    ("why", "says", "fix"),
    [
        (socket.gaierror(-2, "x"), "DNS", "host in url"),
        (
            ConnectionRefusedError(),
            "is Asterisk running?",
            "systemctl status asterisk; when it runs, set enabled = yes, bindaddr and bindport in http.conf",
        ),
        (ssl.SSLError("x"), "TLS fails", "http://"),
        (ssl.SSLCertVerificationError("x"), "not trusted", "authority"),
        (TimeoutError(), "no answer in time", "http.conf"),
        (aiohttp.ServerDisconnectedError(), "needs TLS", "https://"),
        (OSError(), "does not answer", "http.conf"),
    ],
)
def test_why_nothing_answers_is_said_in_words(why, says, fix):
    told = NoAnswerError("http://127.0.0.1:8088", why)
    assert says in told.said
    assert str(told) == f"http://127.0.0.1:8088: {told.said}"
    assert fix in told.fix


async def test_a_name_that_nobody_knows(look):
    (finding,) = (await look(url="http://nowhere.invalid:8088")).values()
    assert "DNS" in finding.detail
    assert "host in url" in finding.fix


async def test_https_where_http_is_spoken(fake, look):
    (finding,) = (await look(url=fake.url.replace("http:", "https:"))).values()
    assert "TLS" in finding.detail


async def test_a_wrong_password(look):
    (finding,) = (await look(password="wrong")).values()
    assert (finding.level, "ari.conf" in finding.fix) == ("error", True)


async def test_missing_modules(fake, look):
    fake.modules.remove("chan_audiosocket.so")
    finding = (await look())["module chan_audiosocket.so"]
    assert (finding.level, finding.fix) == ("error", "module load chan_audiosocket.so")


async def test_modules_that_cannot_be_listed(fake, look):
    fake.refuse["asterisk/modules"] = 404
    assert (await look())["modules"].level == "warning"


async def test_a_user_who_may_only_read(fake, look):
    fake.refuse["subscription"] = 403
    assert (await look())["write access"].level == "error"


async def test_no_event_filter(fake, look):
    fake.refuse["eventFilter"] = 404
    assert (await look())["event filter"].level == "warning"


async def test_no_event_socket(fake, look):
    fake.refuse["GET events"] = 404
    assert (await look())["event socket"].level == "error"


async def test_asterisk_cannot_reach_us(look):
    found = await look(advertise="127.0.0.1:9")
    assert found["audio from Asterisk to 127.0.0.1:9"].level == "error"


async def test_asterisk_does_not_connect_although_it_says_so(fake, look):
    fake.refuse["externalMedia"] = 200
    found = await look(timeout=0.3)
    (finding,) = [one for what, one in found.items() if what.startswith("audio from")]
    assert (finding.level, "did not connect" in finding.detail) == ("error", True)


async def test_the_audio_port_is_taken_by_a_running_vcond(look):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert (await look(port=taken.getsockname()[1]))["audio port"].level == "warning"


async def test_events_without_linkedid(fake, look):
    fake.channelvars = False
    found = await look()
    (finding,) = [one for what, one in found.items() if what.startswith("audio from")]
    assert (finding.level, "channelvars" in finding.fix) == ("warning", True)


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("http://127.0.0.1:1", "ok"),
        ("http://localhost:1", "ok"),
        ("https://pbx:1", "ok"),
        ("http://10.0.0.1:1", "warning"),
    ],
)
def test_a_password_on_the_network_is_told(url, level):
    from vcond_asterisk.check import _plaintext

    assert _plaintext(Config(url=url)).level == level


@pytest.mark.parametrize(
    ("version", "level"), [("16.3.0", "error"), ("18.1.1", "ok"), ("certified/20.7-cert1", "ok"), ("", "ok")]
)
def test_versions(version, level):
    from vcond_asterisk.check import _version

    assert _version({"system": {"version": version}}).level == level
    assert _version({}).level == "ok"
