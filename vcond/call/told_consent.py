"""A word of consent that comes as a name and a value: a channel variable, a header, a parameter of a stream, metadata. Pure.

The name is ``vcond_consent``, whatever its case, ``_`` and ``-``, with ``X-`` before it or not, behind the last dot of an
attribute's name. The value is ``granted``, ``asked``, ``denied`` or ``withdrawn``, and may go on: ``granted; party=1;
purposes=recording+transcription; announcement=rec-en; sha256=...``. ``party`` is a number in the call or ``all``; without
it, it is the one whose channel says so, else the caller. Without ``purposes`` see ``vcond.policy.consent.meant_by``. What is
not known is evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, get_args

import msgspec

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.policy.consent import PURPOSES, REFUSED, SAID, bounded

_HOW: Final[dict[str, ev.How]] = {
    "sip_header": "header",
    "siprec": "metadata",
    "variable": "variable",
    "parameter": "variable",
}
MOST: Final = 2048
"""Characters of a value that are looked at."""


def is_consent(name: str) -> bool:
    """Whether an attribute of that name speaks of consent. A second value may be told as ``name.2``."""
    return plain_name(name) == "vcondconsent"


def plain_name(name: str) -> str:
    """What an attribute is called, however it is written and wherever it came from."""
    parts = [part for part in name.split(".") if not part.isdigit()]
    plain = parts[-1].casefold().replace("-", "").replace("_", "") if parts else ""
    return plain.removeprefix("x")


def refuses(value: str) -> bool:
    """Whether it says that a party does not agree, or does no longer."""
    return _word(value) in REFUSED


def asks(value: str) -> bool:
    """Whether it says that a party was asked, and may be about to answer."""
    return _word(value) == "asked"


def without_evidence(value: str) -> str:
    """What it says, of whom and of which purposes, and nothing else."""
    word, *rest = [part.strip() for part in value[:MOST].split(";")]
    kept = [part for part in rest if part.partition("=")[0].strip().casefold() in {"party", "purposes", "how"}]
    return "; ".join([word, *kept])


def _word(value: str) -> str:
    return value[:MOST].split(";", maxsplit=1)[0].strip().casefold()


def consents_of(
    name: str, value: str, *, party: int | None, parties: Sequence[int], at: Instant
) -> list[ev.Consent] | None:
    """What it says. ``party``: whose it is, where that is known; ``parties``: those that there are. None: it says nothing
    that is known, or of a party that there is not.
    """
    word, *rest = [part.strip() for part in value[:MOST].split(";")]
    told = dict(part.split("=", 1) for part in rest if "=" in part)
    told = {key.strip().casefold(): item.strip() for key, item in told.items()}
    named = told.pop("party", "")
    if told.get("how") not in get_args(ev.How):
        told["how"] = _HOW.get(name.split(".", maxsplit=1)[0], "other")
    said = consent_of({"attribute": name, **told, "state": word}, party=party or 0, at=at)
    whose = list(parties) if named == "all" else [int(named) if named.isdecimal() else party or 0]
    if said is None or (named and named != "all" and not named.isdecimal()) or not set(whose) <= set(parties):
        return None
    return [msgspec.structs.replace(said, party=one) for one in whose]


def consent_of(said: Mapping[str, str], *, party: int, at: Instant) -> ev.Consent | None:
    """What is said of a party by names and values: ``state``, ``how``, ``purposes`` (``recording+transcription``), and evidence.
    None: it says nothing that is known.
    """
    state = next((one for one in SAID if one == said.get("state", "").casefold()), None)
    named = said.get("purposes", "")
    purposes = tuple(one for one in PURPOSES if one in named.split("+"))
    if state is None or (named and not purposes):
        return None
    how: ev.How = next((one for one in get_args(ev.How) if one == said.get("how")), "other")
    evidence = bounded({name: value for name, value in said.items() if name not in {"state", "how", "purposes"}})
    return ev.Consent(at=at, party=party, state=state, how=how, evidence=evidence, purposes=purposes)
