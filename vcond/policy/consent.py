"""Whose voice may be kept, and what becomes of it until that is known.

A call has one rule at most, the first of ``[[policy]]`` that it matches. A rule counts from the call's beginning, whenever it
was found that the call matches; what each party said of each purpose decides with it:

- A party of which nothing is known is ``unknown``; whoever joins later begins so, too.
- ``asked`` follows ``unknown`` only: asking again takes back no answer.
- What was said later counts, by its moment. Whoever was never asked may agree or refuse as well.
- A word that names no purposes: consent is of those that the rule asks for, which the announcement or the question was about,
  and a refusal of all. Nobody agreed to what nobody asked.
- A machine (``type`` = ``bot``) and the roles that a rule exempts need no consent; a refusal of theirs counts.
- Without a rule everything is kept but of those who refuse. With ``mode = "record"`` nobody is asked, and nothing is changed
  by what anybody says: there is another basis.

What that leaves of audio, words, digits and names is not decided here (``vcond.call``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

Said = Literal["asked", "granted", "denied", "withdrawn"]
State = Literal["unknown", Said]
Purpose = Literal["recording", "transcription", "analysis"]
"""draft-howe-vcon-lawful-basis-02, section 4.2, names these among its examples; there is no registry."""
Keys = Annotated[str, Meta(max_length=8, pattern="^[0-9*#]*$")]
Key = Literal["", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#"]
SAID: Final[tuple[Said, ...]] = get_args(Said)
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
OURS: Final[tuple[Purpose, ...]] = ("recording", "transcription")
"""What vcond does itself. What others do with a vCon is asked for where somebody says so."""
REFUSED: Final = frozenset({"denied", "withdrawn"})

Phrases = Annotated[
    dict[
        Annotated[str, Meta(max_length=35)],
        Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(min_length=1, max_length=100)],
    ],
    Meta(max_length=50),
]
"""By language (BCP 47)."""
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_BETWEEN: Final = re.compile(r"[\W_]+")
_PAUSING: Final = ("pause", "pause_keys", "resume_keys")
"""Keys that change something in every mode."""
MOST_EVIDENCE: Final = 16
LONGEST_NAME, LONGEST_VALUE = 64, 1024
"""How much a proof may have: items, and characters of one."""


class Verdict(StrEnum):
    """What becomes of what a party says now."""

    KEEP = "keep"
    BUFFER = "buffer"
    """In memory, encrypted; kept when consent comes, else dropped."""
    NOTHING = "nothing"


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule says: what of a call may be kept, and from when on."""

    mode: Literal["record", "announce", "ask", "never"] = "record"
    """``record``: everything is kept, whatever anybody says: there is another basis than consent. ``announce``: of each party from
    when it was told that the call is recorded. ``ask``: from when it agreed. ``never``: nothing of anybody."""
    until_granted: Literal["keep", "buffer", "nothing"] = "nothing"
    """What becomes of a party's voice until then, with ``announce`` and ``ask``: ``keep`` = kept, until the party refuses;
    ``buffer`` = held in memory, encrypted, for ``buffer_seconds``; kept when consent comes, else dropped without a trace."""
    buffer_seconds: Annotated[int, Meta(ge=1, le=600)] = 120
    """With ``until_granted = "buffer"``: so much of each party is held, and 256 MB of all calls; what was said before that is dropped."""
    purposes: Annotated[tuple[Purpose, ...], Meta(min_length=1, max_length=3)] = OURS
    """What parties are asked for, and consent is needed for: what a key, or a word that names no purposes, agrees to. Without
    ``recording``: audio is kept on another basis, and texts are made when agreed to."""
    exempt: Annotated[
        tuple[Literal["agent", "customer", "supervisor", "sme", "thirdparty"], ...], Meta(max_length=5)
    ] = ()
    """Roles of parties that need not be asked, as of employees with a contract; a refusal of theirs counts all the same."""
    denied: Literal["voice", "name"] = "voice"
    """What a refusal takes: ``voice`` = audio, words and digits; ``name`` = these, and number and name."""
    withdrawn: Literal["stop", "take_back"] = "stop"
    """What a withdrawal takes: ``stop`` = what comes after it; ``take_back`` = also what was kept of the party."""
    key_granted: Key = ""
    """The key with which a party that was asked, or not yet, agrees. It is no digit of the record then. Empty = none."""
    key_denied: Key = ""
    """The key with which it refuses."""
    key_withdrawn: Key = ""
    """The key with which a party that agreed takes that back, at any time; before an answer it refuses. It may be that of
    ``key_denied``."""
    words_granted: Phrases = {}
    """What a party may say to agree, by language, as its whole utterance: ``{ en = ["yes you may"] }``. Needs ``until_granted =
    "keep"``: else nothing of it is transcribed before it has agreed."""
    words_denied: Phrases = {}
    """What it may say to refuse, anywhere in an utterance."""
    pause_keys: Keys = ""
    """Keys with which any party pauses recording, one after the other: ``"*1"``. While a card is keyed in, say. Empty = none."""
    resume_keys: Keys = ""
    """Keys with which whoever paused lets it go on: ``"*2"``. Without them recording stays paused until the operator overrides that, or the call ends."""
    pause: bool = False
    """Whether recording is paused while a call matches, from then on: ``match = { attributes = { queue = "payments" } }``."""
    expires_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Days for which a consent is good, as the record says; 0 = it says nothing of an end."""


def check_terms(terms: Terms) -> None:
    """Raises ValueError for what contradicts itself, with the key's name."""
    defaults = Terms()
    if terms.mode in {"record", "never"}:
        for key in Terms.__struct_fields__:
            if key not in {"mode", *_PAUSING} and getattr(terms, key) != getattr(defaults, key):
                raise ValueError(f'{key} changes nothing with mode = "{terms.mode}": take it out, or set mode = "ask"')
    _check_pausing(terms)
    if terms.buffer_seconds != defaults.buffer_seconds and terms.until_granted != "buffer":
        raise ValueError('buffer_seconds is for until_granted = "buffer" only')
    for key in ("key_denied", "key_withdrawn"):
        if terms.key_granted and terms.key_granted == getattr(terms, key):
            raise ValueError(f"key_granted and {key} are the same key")
    if terms.until_granted == "buffer" and "recording" not in terms.purposes:
        raise ValueError('until_granted = "buffer" needs "recording" among purposes: without it audio is kept anyway')
    for key in ("words_granted", "words_denied"):
        if getattr(terms, key) and terms.until_granted != "keep":
            raise ValueError(f'{key} needs until_granted = "keep": else no word is heard before consent')
        if wrong := [one for one in getattr(terms, key) if not _LANGUAGE.fullmatch(one)]:
            raise ValueError(f"{key}: {wrong[0]!r} is no language; write en or de-CH")
        if any(not _plain(one) for phrases in getattr(terms, key).values() for one in phrases):
            raise ValueError(f"{key} has a phrase without a letter")
    if len(set(terms.purposes)) != len(terms.purposes):
        raise ValueError("purposes names one twice")


def _check_pausing(terms: Terms) -> None:
    """As ``check_terms``, of keys that pause."""
    pausing, resuming = terms.pause_keys, terms.resume_keys
    for name in ("pause_keys", "resume_keys"):
        if len(getattr(terms, name)) == 1:
            raise ValueError(f"{name}: one key may be of a menu, or of a card; write two to eight, as *1")
    if resuming and not pausing:
        raise ValueError("resume_keys needs pause_keys: there is no other pause that a party ends by keys")
    if pausing and resuming and (pausing in resuming or resuming in pausing):
        raise ValueError("pause_keys and resume_keys: one is in the other")
    for name in ("key_granted", "key_denied", "key_withdrawn"):
        if (key := getattr(terms, name)) and key in pausing + resuming:
            raise ValueError(f"{name} is among pause_keys or resume_keys: it would be an answer, too")


def verdict(terms: Terms | None, purpose: Purpose, state: State, *, needs_none: bool = False) -> Verdict:
    """What becomes of what a party says, for a purpose. ``needs_none``: it is a machine, or its role is exempt."""
    if terms is not None and terms.mode == "never":
        return Verdict.NOTHING
    if terms is not None and terms.mode == "record":
        return Verdict.KEEP
    if state in REFUSED:
        return Verdict.NOTHING
    if terms is None or needs_none or purpose not in terms.purposes or state == "granted":
        return Verdict.KEEP
    if terms.mode == "announce" and state == "asked":
        return Verdict.KEEP
    return Verdict(terms.until_granted)


def follows(now: State, said: State) -> bool:
    """Whether what was said changes anything."""
    return said != now and (said != "asked" or now == "unknown") and not (said == "withdrawn" and now == "denied")


def bounded(evidence: Mapping[str, str]) -> dict[str, str]:
    """As much of a proof as is kept."""
    some = list(evidence.items())[:MOST_EVIDENCE]
    return {str(name)[:LONGEST_NAME]: str(value)[:LONGEST_VALUE] for name, value in some}


def check_evidence(evidence: Mapping[str, str]) -> None:
    """Raises ValueError, which names the item, for more than is kept."""
    if len(evidence) > MOST_EVIDENCE:
        raise ValueError(f"evidence: {len(evidence)} items; at most {MOST_EVIDENCE}")
    for name, value in evidence.items():
        if not name or len(name) > LONGEST_NAME or len(value) > LONGEST_VALUE:
            raise ValueError(
                f"evidence.{name[:LONGEST_NAME]}: a name has 1 to {LONGEST_NAME} letters, a value at most {LONGEST_VALUE}"
            )


def meant_by(terms: Terms | None, said: Said) -> tuple[Purpose, ...]:
    """The purposes of a word that names none."""
    return PURPOSES if said in REFUSED else OURS if terms is None else terms.purposes


def by_key(terms: Terms | None, button: str, now: State) -> Literal["granted", "denied", "withdrawn"] | None:
    """What a key means that a party pressed of which ``now`` is known; None = it is a digit like others."""
    if terms is None or not button:
        return None
    if now == "granted":
        return "withdrawn" if button == terms.key_withdrawn else None
    if now in REFUSED:
        return None
    return (
        "granted"
        if button == terms.key_granted
        else "denied"
        if button in {terms.key_denied, terms.key_withdrawn}
        else None
    )


def by_words(terms: Terms | None, text: str, language: str) -> Literal["granted", "denied"] | None:
    """What an utterance means. ``language``: BCP 47; of one that is not known all phrases count."""
    if terms is None or not (said := _plain(text)):
        return None
    of = language.casefold().split("-")[0]

    def phrases(by: Mapping[str, Sequence[str]]) -> list[str]:
        return [_plain(one) for key, some in by.items() if not of or key.casefold().split("-")[0] == of for one in some]

    if any(f" {one} " in f" {said} " for one in phrases(terms.words_denied)):
        return "denied"
    return "granted" if said in phrases(terms.words_granted) else None


def _plain(text: str) -> str:
    """Words apart by one space, without case and punctuation."""
    return _BETWEEN.sub(" ", text.casefold()).strip()
