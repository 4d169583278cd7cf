"""Sinks come by entry points: which are there, and what is said of those that cannot be."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from vcond.app import installed, matching, plugins
from vcond.base.errors import ConfigError, MissingExtraError
from vcond.base.time import EPOCH
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.capture.clock import SteadyClock
from vcond.config import Config
from vcond.delivery.sinks.folder import FolderSink
from vcond.redaction.config import RedactionConfig

HERE = "sink_plugins_of_a_test"
OURS = ["conserver", "folder", "http_put", "nats", "s3", "sftp", "webhook"]
SINK = """
import msgspec
class Config(msgspec.Struct):
    name: str = "acme"
class AcmeSink:
    forms, profile, Config, name = ("plain",), "core", Config, "acme"
    def __init__(self, config): pass
"""


def point(name, value, package="acme-sinks"):
    return EntryPoint(name, value, "vcond.sinks")._for(SimpleNamespace(name=package))


@pytest.fixture
def there(monkeypatch, tmp_path):
    """Entry points as given, ours among them; modules of ``HERE`` hold what they are given."""
    monkeypatch.syspath_prepend(tmp_path)
    ours = list(installed.entry_points(group="vcond.sinks"))

    def put(*points, module=""):
        (tmp_path / f"{HERE}.py").write_text(module)
        monkeypatch.setattr(installed, "entry_points", lambda *, group: [*ours, *points])

    yield put
    sys.modules.pop(HERE, None)


def made(*sections):
    return plugins.sinks(Config(sinks=list(sections)), clock=SteadyClock().now)


def wrong(*sections):
    with pytest.raises(ConfigError) as why:
        made(*sections)
    return why.value.path, str(why.value)


def test_ours_are_entry_points_of_the_package():
    assert sorted(installed.installed(installed.SINKS)) == OURS


def test_one_of_another_package_is_made_like_ours(there, tmp_path):
    module = "from vcond.delivery.sinks.folder import FolderSink\nclass AcmeSink(FolderSink): forms = ('plain',)"
    there(point("acme", f"{HERE}:AcmeSink"), module=module)
    [sink] = made({"type": "acme", "path": str(tmp_path)})
    assert (sink.name, sink.profile) == ("acme", "core")
    at, text = wrong({"type": "acme", "path": str(tmp_path), "form": "signed"})
    assert (at, "accepts unsigned vCons only" in text) == ("sinks[0].form", True)


def test_a_sink_says_whether_it_gets_all_of_a_vcon(tmp_path, monkeypatch):
    asked = []
    sections = [
        {"type": "folder", "name": "a", "path": str(tmp_path)},
        {"type": "folder", "name": "b", "path": str(tmp_path), "content": "redacted"},
        {"type": "folder", "name": "c", "path": str(tmp_path), "content": "full"},
    ]
    config = Config(sinks=sections)
    sinks = plugins.sinks(config, clock=SteadyClock().now, redactor=lambda folder: asked.append(folder) or "it")
    assert [sink.content for sink in sinks] == ["full", "redacted", "full"]
    assert asked == [Path(config.vcond.state_dir) / "forms"]
    asked.clear()
    plugins.sinks(Config(sinks=sections[:1]), clock=SteadyClock().now, redactor=asked.append)
    assert asked == [], "nobody wants one"
    for value in ("redactd", 1, None, ["redacted"]):
        at, text = wrong(sections[0] | {"content": value})
        assert at == "sinks[0].content"
        assert "full or redacted" in text
    redaction = msgspec.convert({"settings": {"nobody": {}}}, RedactionConfig)
    with pytest.raises(ConfigError) as why:
        plugins.sinks(Config(sinks=sections, redaction=redaction), clock=SteadyClock().now)
    assert why.value.path == "redaction.settings.nobody"


def test_one_that_is_not_installed_is_said_with_what_there_is():
    at, text = wrong({"type": "foldr"})
    assert at == "sinks[0].type"
    assert "there is no sink 'foldr'; did you mean 'folder'?" in text
    _, text = wrong({"type": "webdav"})
    assert f"there are: {', '.join(OURS)}; one of another package must be installed into" in text
    at, text = wrong({"path": "/x"})
    assert (at, f"kinds of sinks: {', '.join(OURS)}" in text) == ("sinks[0].type", True)


@pytest.mark.parametrize(
    ("module", "error", "words"),
    [
        ("import no_such_package_at_all", MissingExtraError, "not installed (no_such_package_at_all)"),
        ("from vcond.sdk.sink import Gone", ConfigError, "'Gone' from 'vcond.sdk.sink' ("),
        ("1 / 0", ConfigError, "(ZeroDivisionError): install package acme-sinks anew"),
        ("", ConfigError, "has no attribute 'AcmeSink'): install package acme-sinks anew"),
        ("def (", ConfigError, "(SyntaxError: "),
        ("class AcmeSink: pass", ConfigError, "has no Config, forms, profile"),
        (SINK, ConfigError, "has no concurrency, address, max_bytes, deliver, erase, look, close"),
    ],
)
def test_one_that_cannot_be_loaded_is_said_with_what_to_do(there, module, error, words):
    there(point("acme", f"{HERE}:AcmeSink"), module=module)
    with pytest.raises(error) as why:
        made({"type": "acme"})
    assert words in str(why.value)


def test_two_of_one_name_are_said_with_their_packages_and_stop_only_who_uses_them(there, tmp_path):
    there(point("folder", f"{HERE}:FolderSink", "acme-folder"), point("acme", "a:A"), point("acme", "b:B", "beta"))
    at, text = wrong({"type": "folder", "path": str(tmp_path)})
    assert at == "sinks[0].type"
    assert "several packages provide sink 'folder': acme-folder (" in text
    assert "vcond (vcond.delivery.sinks.folder:FolderSink); remove all but one" in text
    with pytest.raises(ConfigError, match=r"acme-sinks .*beta"):
        made({"type": "acme"})


def test_the_same_package_found_twice_is_one(there, tmp_path):
    there(point("folder", f"{FolderSink.__module__}:FolderSink"))
    [sink] = made({"type": "folder", "path": str(tmp_path)})
    assert sink.name == "folder"


def test_a_match_is_of_the_section_and_no_key_of_the_sink(tmp_path):
    section = {"type": "folder", "path": str(tmp_path)}
    path, said = wrong(section | {"match": {"adaptor": "twilio"}})
    assert path.startswith("sinks[0].match")
    assert "adapter" in said
    sections = [section | {"match": {"attributes": {"queue": "sales"}}}, section | {"name": "rest", "match": {}}]
    assert [one.name for one in made(*sections)] == ["folder", "rest"]
    of_sinks = matching.matches_of(sections)
    assert list(of_sinks) == ["folder"], "an empty match takes all"
    opened = ev.CallOpened(at=EPOCH, call="u", adapter="twilio", key="k")
    assert matching.unmatched(of_sinks, fold([opened])) == ["folder"]
    assert matching.unmatched(of_sinks, fold([opened, ev.Tagged(at=EPOCH, name="queue", value="sales")])) == []
