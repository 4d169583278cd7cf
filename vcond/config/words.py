"""What is wrong with a value, in words for who writes the file."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

KINDS = {
    "str": 'must be text in quotes, as in "this"',
    "int": "must be a whole number, without quotes",
    "float": "must be a number, without quotes",
    "bool": "must be true or false, without quotes",
    "array": 'must be a list, as in ["one", "two"]',
    "object": 'must be a section or a table, as in { key = "value" }',
}  # fmt: skip
FORMS = (
    (":(?:6553", "must be host:port, as in 127.0.0.1:8470"),
    ("https?|wss?", "must be an address that begins with ws://, wss://, http:// or https://"),
    ("wss?://", "must be an address that begins with ws:// or wss://, as in ws://127.0.0.1:2700"),
    ("https?://", "must be an address that begins with http:// or https://, as in https://edge-1.example.com"),
    ("https://", "must be an address that begins with https://"),
    ("(/[", "must be a path that begins with /, as in /twilio/stream, of letters, digits and . _ ~ -"),
    ("[0-9]{1,5}-[0-9]{1,5}", "must be a range of ports, as in 40000-40999"),
    ("[!#-", "must be printable ASCII without quotation marks and backslashes"),
    ("(udp|tcp|tls):", "must be transport, address and port, as in udp:192.0.2.5:5060"),
    ("stun:", "must be as in stun:stun.example.com:3478"),
    ("turn:", "must be as in turn:turn.example.com:3478?transport=udp, or begin with turns:"),
    ("}@[", "must be user@domain"),
    ("^/[", "must be an absolute path of letters, digits and . _ / -"),
    ("0?[0-7]{3}", "must be permissions in octal, as in 0640"),
    (r"[\x21-\x7e]", "must be printable ASCII without spaces"),
    ("^(/.+)?$", "must be an absolute path"),
    ("[A-Z]{2}", "must be a country in two capital letters, as US"),
    ("[A-Za-z_][A-Za-z0-9_.:-]*", "must be a name, or package.module:Class"),
)  # fmt: skip
"""Beginnings of what a pattern has in it, and how that is said."""
_EXPECTED = re.compile(r"^Expected `([a-z]+)")
_GOT = re.compile(r", got `([a-z]+)`")
_BOUND = re.compile(r"^Expected `(int|float)` (>=|<=|>|<) ([0-9.e+-]+)$")
_LENGTH = re.compile(r"^Expected `(str|array|object)` of length (>=|<=) (\d+)$")
_REGEX = re.compile(r"^Expected `str` matching regex '(.*)'$")
_MISSING = re.compile(r"^Object missing required field `(.*)`$")
_CLASS = re.compile(r"^\^?\[([^\]]+)\](?:\{(\d+),(\d+)\}|\*|\+)?(?:\$|\\Z|\\\\Z)?$")
_BOUNDS = {">=": "or more", "<=": "or less", ">": "more than", "<": "less than"}
_RANGES = {"A-Z": "letters", "a-z": "letters", "0-9a-fA-F": "hexadecimal digits", "0-9": "digits"}


def said(message: str, kind: Any, path: str) -> str:
    """A message of msgspec about ``path`` of a struct, for the operator."""
    if found := _BOUND.match(message):
        number = f"{float(found[3]):g}"
        return f"must be {_BOUNDS[found[2]]} {number}" if found[2] in "<>" else f"must be {number} {_BOUNDS[found[2]]}"
    if found := _LENGTH.match(message):
        things = "letters" if found[1] == "str" else "entries"
        return f"must have {found[3]} {things} at {'most' if found[2] == '<=' else 'least'}"
    if found := _REGEX.match(message):
        return shape(found[1].replace("\\\\", "\\"))
    if found := _MISSING.match(message):
        return f"{found[1]} is missing"
    if message.startswith("Invalid enum value"):
        words = _choices(kind, path)
        return f"must be one of: {', '.join(map(str, words))}" if words else "is not one of the possible values"
    if (found := _EXPECTED.match(message)) and found[1] in KINDS:
        got = _GOT.search(message)
        return KINDS[found[1]] + (f"; here is {_thing(got[1])}" if got else "")
    return message


def _thing(name: str) -> str:
    return {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "array": "a list",
            "object": "a section or table"}.get(name, name)  # fmt: skip


def shape(pattern: str) -> str:
    """What a text must look like, by the pattern that decides."""
    if r"\x" not in pattern and (found := _CLASS.match(pattern)):
        inside = found[1]
        names: list[str] = []
        for part, name in _RANGES.items():
            if part in inside:
                inside, names = inside.replace(part, ""), [*names, *([name] if name not in names else [])]
        names += list(dict.fromkeys(inside.replace("\\", "")))
        many = f", {found[2]} to {found[3]} of them" if found[2] else ""
        return f"may only have: {', '.join(names)}{many}"
    return next((words for piece, words in FORMS if piece in pattern), "has the wrong form: see the sample")


def _choices(kind: Any, path: str) -> tuple[Any, ...]:
    """The words of a Literal at ``path`` of a struct; none when it cannot be found."""
    for name in path.split("."):
        hints = get_type_hints(kind) if isinstance(kind, type) else {}
        if name not in hints:
            return ()
        kind = hints[name]
    literals = [kind, *get_args(kind)]
    return next((get_args(one) for one in literals if get_origin(one) is Literal), ())
