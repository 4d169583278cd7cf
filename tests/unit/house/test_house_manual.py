"""Man pages and completions: made from the code, and what reads them takes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from vcond.testing.needs import needs

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tools"))
import manual  # noqa: E402 - found by the path above


def test_they_are_as_the_code():
    made = manual.files()
    assert {name for name, text in made.items() if (TOP / name).read_text("utf-8") != text} == set(), "run `make docs`"


def test_every_command_and_every_section_has_its_place():
    pages = manual.files()
    for piece in (".SS vcond outbox discard", ".SS vcond status", r"\fB\-\-yes\fR", ".SH EXIT STATUS"):
        assert piece in pages["man/vcond.8"]
    for piece in (".SH [web]", r"\fBlisten\fR", ".SH [delivery]"):
        assert piece in pages["man/vcond.toml.5"]


def test_no_text_is_a_request_of_the_formatter():
    assert manual.roff(".ds x") == r"\&.ds x"
    assert manual.roff("'so /etc/passwd") == r"\&'so /etc/passwd"
    assert manual.roff("a\n.so b \\n") == r"a .so b \en"


def test_the_formatter_has_nothing_to_say():
    groff = shutil.which("groff")
    needs(there=groff is not None, what="no groff here")
    pages = [str(TOP / name) for name in manual.files() if name.startswith("man/")]
    done = subprocess.run(
        [str(groff), "-man", "-Tutf8", "-ww", "-z", *pages], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_a_shell_completes_commands_and_options():
    script = f"""
    source {TOP}/completions/vcond.bash
    COMP_WORDS=(vcond outbox di) COMP_CWORD=2
    _vcond_completion vcond
    echo "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.stdout == "discard\n"
