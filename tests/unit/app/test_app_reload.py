"""What a reload does not take is named, whatever the section."""

from types import SimpleNamespace

import msgspec
import pytest

from vcond.app import lifecycle
from vcond.config.load import Loaded
from vcond.config.schema import Config


@pytest.mark.parametrize("name", [name for name in Config.__struct_fields__ if name != "vcond"])
def test_every_section_that_is_not_taken_is_named(name: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(lifecycle.log, "configure", lambda *_: None)
    parts = SimpleNamespace(registry=SimpleNamespace(config=None))
    old = Config()
    new = msgspec.structs.replace(old)
    msgspec.structs.force_setattr(new, name, object())  # whatever it is, it is another
    reloader = lifecycle.Reloader(Loaded(old), parts, None)
    reloader._apply(Loaded(new))
    assert f"needs_restart=['{name}']" in capsys.readouterr().out
