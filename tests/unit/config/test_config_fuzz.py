"""A configuration that was changed anywhere: it is read, or the operator is told by a ConfigError."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from vcond.base.errors import ConfigError
from vcond.config import schema
from vcond.config.load import load
from vcond.testing.changed import spoiled

SAMPLE = (Path(schema.__file__).parent / "sample.toml").read_bytes()
PIECES = [b"[", b"]", b"[[", b"]]", b"\n", b'"', b'"""', b"=", b"\xff", b"\0", b"9" * 5000, b"[" * 3000, b"inf", b"nan", b"1979-05-27", b"{a=", b"#\n",
          b"\\ud800", b".", b"true", b"-1", b"[vcond]\n", b"\nx = "]  # fmt: skip


@pytest.mark.fuzz
def test_a_configuration_that_was_changed_is_read_or_refused(tmp_path: Path, fuzz):
    file = tmp_path / "vcond.toml"
    lines = SAMPLE.replace(b"\n# ", b"\n").splitlines(keepends=True)
    for chance in fuzz.rounds(500):
        start = chance.randrange(len(lines))
        some = b"".join(lines[start : start + chance.randrange(1, 12)])
        file.write_bytes(spoiled(some, chance, PIECES))
        with suppress(ConfigError):
            load(file, {"VCOND_X__Y": some[:50].decode("latin-1").replace("\0", "")})


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
def test_a_number_of_thousands_of_digits_is_a_mistake_of_the_file(tmp_path: Path, value: str):
    file = tmp_path / "vcond.toml"
    file.write_text(f"[vcond]\nname = {value}\n")
    with pytest.raises(ConfigError, match=r"digits|deep"):
        load(file, {})
    file.write_text("")
    with pytest.raises(ConfigError):
        load(file, {"VCOND_VCOND__NAME__X": value})
