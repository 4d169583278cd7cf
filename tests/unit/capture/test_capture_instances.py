"""Two systems of one kind on one vcond."""

import re

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from vcond.app import plugins
from vcond.app.setup_steps import steps
from vcond.base.errors import ConfigError
from vcond.capture.adapter_host import CaptureHost
from vcond.cli.check import _named
from vcond.config import Config, WebConfig
from vcond.sdk.contract import Cause, Finding
from vcond.server.ingress import WebServer

BERLIN = {"type": "asterisk", "url": "http://10.0.1.1:8088", "password": "a"}
MUNICH = {"type": "asterisk", "url": "http://10.0.2.1:8088", "password": "b"}


def made(**adapters):
    return plugins.adapters(Config(adapters=adapters))


def test_two_asterisks_beside_each_other():
    found = made(berlin=dict(BERLIN), munich=dict(MUNICH), asterisk={"password": "c"})
    assert {name: (one.name, one.config.url) for name, one in found.items()} == {
        "berlin": ("asterisk", "http://10.0.1.1:8088"),
        "munich": ("asterisk", "http://10.0.2.1:8088"),
        "asterisk": ("asterisk", "http://127.0.0.1:8088"),
    }


def test_their_calls_with_the_same_key_are_two_calls(house):
    words = {name: CaptureHost(name, house.registry, None, lambda: None) for name in ("berlin", "munich")}
    now = house.now(0)
    berlin, munich = (host.call("1700000000.1", at=now) for host in words.values())
    assert berlin is not munich
    assert [call.uuid for call in words["berlin"].open_calls()] == [berlin.uuid]
    berlin.end(at=house.now(1), cause=Cause(q850=16))
    assert munich in words["munich"].open_calls()
    words["berlin"].attached(True)
    words["munich"].attached(False, "connection refused")
    assert house.registry.attachments.said == {"berlin": (True, ""), "munich": (False, "connection refused")}
    for name, is_up in (("berlin", 1), ("munich", 0)):
        assert REGISTRY.get_sample_value("vcond_adapter_connected", {"adapter": name}) == is_up
    assert {call.state.adapter for call in (berlin, munich)} == {"berlin", "munich"}


def test_the_second_of_a_kind_is_reached_at_paths_of_its_own():
    found = made(twilio={}, branch={"type": "twilio"}, third={"type": "twilio", "path": "/third/way"})
    assert [one._config.path for one in found.values()] == ["/twilio/stream", "/branch/stream", "/third/way"]
    webrtc = made(webrtc={}, web2={"type": "webrtc"})["web2"]._config
    assert (webrtc.path, webrtc.page) == ("/web2/whip", "/web2/webrtc")
    assert made(fs2={"type": "freeswitch", "password": "x"})["fs2"].config.path == "/fs2/audio"


async def test_both_are_served(house):
    server = WebServer(WebConfig(), token="t")

    async def hello(request: web.Request) -> web.Response:
        return web.Response()

    for name, one in made(twilio={}, branch={"type": "twilio"}).items():
        CaptureHost(name, house.registry, server.ingress(name), lambda: None).ingress.route(
            "GET", one._config.path, hello
        )
    assert {path for _, path in server._routes} == {"/twilio/stream", "/branch/stream"}
    server.ingress("branch")  # it starts again: the other's stay
    assert {path for _, path in server._routes} == {"/twilio/stream"}


@pytest.mark.parametrize(
    ("adapters", "at", "text"),
    [
        ({"asterix": {}}, "adapters.asterix", "did you mean 'asterisk'"),
        ({"berlin": {}}, "adapters.berlin", "there are: asterisk, freeswitch"),
        ({"berlin": {"type": "asterix"}}, "adapters.berlin.type", "did you mean 'asterisk'"),
        ({"berlin": {"type": 5}}, "adapters.berlin.type", "there is no adapter 5"),
        ({"Ber lin": {"type": "asterisk"}}, "adapters.Ber lin", "lower-case letters"),
        ({"twilio": {"type": "asterisk"}}, "adapters.twilio", "the name of an adapter of another kind"),
        ({"a": {"type": "twilio", "path": "/x"}, "b": {"type": "twilio", "path": "/x"}}, "adapters.b.path", "adapters.a.path"),
        ({"twilio": {}, "b": {"type": "webrtc", "page": "/twilio/stream"}}, "adapters.b.page", "adapters.twilio.path"),
        ({"berlin": {"type": "asterisk", "passwort": "x"}}, "adapters.berlin.passwort", "did you mean 'password'"),
        ({"berlin": {"type": "asterisk", "bind": "x"}}, "adapters.berlin.bind", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_with_the_name_of_the_section(adapters, at: str, text: str):
    with pytest.raises(ConfigError) as why:
        made(**adapters)
    assert why.value.path == at
    assert text in str(why.value)


async def test_what_an_adapter_says_of_its_keys_has_the_name_of_its_section(house):
    host = CaptureHost(
        "berlin", house.registry, None, lambda: None,
        words=lambda text: plugins.in_its_name(text, "asterisk", "berlin"),
    )  # fmt: skip
    host.attached(False, "adapters.asterisk.password: Asterisk refuses it")
    assert house.registry.attachments.said["berlin"][1] == "adapters.berlin.password: Asterisk refuses it"


def test_findings_say_of_which_one_they_are():
    found = Finding("error", "ARI", "refused", "set adapters.asterisk.user")
    told = _named(found, "asterisk", "berlin")
    assert (told.what, told.fix) == ("berlin: ARI", "set adapters.berlin.user")
    assert _named(found, "asterisk", "asterisk") == found


@pytest.mark.parametrize("name", ["asterisk", "freeswitch", "janus", "twilio", "webrtc"])
def test_a_setup_text_has_no_link_that_leads_nowhere_on_an_installed_machine(name: str):
    text = plugins.without_links(steps(name, {}).text)
    assert not re.findall(r"\]\((?!https?://)", text)
    assert "`vcond run`" not in text
