"""The man pages vcond(8) and vcond.toml(5), from what ``--help`` and the types of the configuration say, and the completions."""

from __future__ import annotations

from collections.abc import Iterator

import commands as commands_of_code
import config_keys
from typer.completion import get_completion_script

from vcond.cli.app import app

SHELLS = {"completions/vcond.bash": "bash", "completions/_vcond": "zsh", "completions/vcond.fish": "fish"}


def roff(text: str) -> str:
    """Text of a docstring, so that none of it is a request of roff: man(7)."""
    plain = " ".join(text.replace(r"\[", "[").replace("``", "").replace("`", "").split())
    plain = plain.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{plain}" if plain[:1] in {".", "'"} else plain


def page(name: str, section: int, said: str, parts: Iterator[str]) -> str:
    """A whole page."""
    head = f'.TH "{name.upper()}" "{section}" "" "vcond" "vcond"\n.SH NAME\n{roff(name)} \\- {roff(said)}\n'
    return head + "\n".join(parts) + "\n"


def commands() -> str:
    """vcond(8)."""
    found = list(commands_of_code.commands(app, "vcond"))

    def parts() -> Iterator[str]:
        yield ".SH SYNOPSIS"
        yield from (f".B {roff(one.usage)}\n.br" for one in found if not one.group)
        yield ".SH EXIT STATUS"
        yield roff("0: all is well. 1: something is wrong. 2: it could not be done. 130: interrupted.")
        yield ".SH COMMANDS"
        for one in found:
            yield f".SS {roff(one.name)}"
            yield "\n.PP\n".join(roff(paragraph) for paragraph in one.help.split("\n\n"))
            for parameter in one.parameters:
                kind = f" \\fI{roff(parameter.kind)}\\fR" if parameter.kind else ""
                default = f" Default: {parameter.default}." if parameter.default else ""
                yield f".TP\n\\fB{roff(', '.join(parameter.names))}\\fR{kind}\n{roff(parameter.help + default)}"
        yield ".SH SEE ALSO\n.BR vcond.toml (5)"

    return page("vcond", 8, "live calls become vCons", parts())


def configuration() -> str:
    """vcond.toml(5)."""

    def parts() -> Iterator[str]:
        yield ".SH SYNOPSIS\n.I /etc/vcond/vcond.toml\n.br\n.I /etc/vcond/vcond.d/*.toml"
        for section in config_keys.sections():
            yield f".SH {roff(section.title)}"
            if section.help:
                yield roff(section.help)
            for key in section.keys:
                default = "must be given" if key.default is None else f"default {key.default}" if key.default else ""
                more = roff(", ".join(filter(None, (key.kind, key.bounds, default))))
                yield f".TP\n\\fB{roff(key.name)}\\fR ({more})\n{roff(key.help)}"
        yield ".SH SEE ALSO\n.BR vcond (8)"

    return page("vcond.toml", 5, "configuration of vcond", parts())


def files() -> dict[str, str]:
    """All of them, by name below the checkout."""
    made = {"man/vcond.8": commands(), "man/vcond.toml.5": configuration()}
    for name, shell in SHELLS.items():
        made[name] = get_completion_script(prog_name="vcond", complete_var="_VCOND_COMPLETE", shell=shell) + "\n"
    return made
