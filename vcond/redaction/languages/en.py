"""English. Sounds and broken leads are what Whisper's tiny.en wrote of synthetic voices on a telephone line."""

from __future__ import annotations

from vcond.redaction.contract import (
    BIRTH_DATE,
    CARD,
    CARD_EXPIRY,
    EMAIL,
    IBAN,
    NATIONAL_NUMBER,
    SECURITY_CODE,
    TELEPHONE,
)
from vcond.redaction.language import Language

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
    "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip
_MONTHS = (
    "january february march april may june july august september october november december jan feb mar apr jun jul aug sep "
    "sept oct nov dec"
)
_SOUNDS = {
    "0": "oh o owe nil null near nor row",
    "1": "won wan juan once",
    "2": "to too tow tu do",
    "3": "free tree thee fee",
    "4": "for fore fore far fur",
    "5": "fife fine find hive firm",
    "6": "sex sick sicks sects sics",
    "7": "sven heaven",
    "8": "ate hate hey",
    "9": "nein nigh mine line",
}
_CARD = r"(?:card|car|cart|cards|court)"

ENGLISH = Language(
    tag="en",
    digits={word: str(n) for n, word in enumerate((*_UNITS, *_TEENS))}
    | {word: f"{n}0" for n, word in enumerate(_TENS, 2)}
    | {"nought": "0", "naught": "0", "zeros": "0", "fourty": "40", "niner": "9"},
    sounds={word: digit for digit, words in _SOUNDS.items() for word in words.split()},
    counts={"double": 2, "doubled": 2, "triple": 3, "treble": 3},
    scales={"hundred": "00", "thousand": "000"},
    fillers=frozenset(
        ["um", "uh", "er", "erm", "hmm", "mm", "ah", "and", "then", "okay", "ok", "yeah", "yes", "right", "so", "dash", "hyphen", "slash", "stroke", "space", "pause", "comma", "point", "dot", "times", "time", "sorry", "is", "it's", "its", "that's", "plus"]
    ),
    ordinals={word: str(n) for n, word in enumerate(_ORDINALS, 1)}
    | {f"{n}{'th' if 3 < n < 21 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}": str(n) for n in range(1, 32)}
    | {"thirtieth": "30"},
    months=frozenset(_MONTHS.split()),
    leads={
        CARD: (
            rf"(?:{_CARD}|current) numbers?",
            rf"numbers? (?:on|of|off|from) (?:the|your|my|a)(?: \w+)? {_CARD}",
            rf"{_CARD} (?:\w+ ){{0,3}}(?:numbers?|goes)",
            r"long (?:\w+ )?numbers?",
            r"(?:16|sixteen|fifteen|15) digits?",
            r"numbers? across",
            r"across the front",
            rf"(?:read|give) you (?:my|the) (?:\w+ )?{_CARD}",
            rf"(?:pay|be) (?:by|with|my|using) (?:\w+ )?{_CARD} and",
            r"let me (?:read|renew|reach) you",
        ),
        SECURITY_CODE: (
            r"(?:security|verification|authori[sz]ation) (?:code|coat|cold|call|court|card|number)s?",
            r"(?:three|3|free|four|4|last)(?: or four| or 4)?[ -](?:three |3 |free )?digits?(?: code| number)?",
            r"(?:c ?v ?(?:v|c|2|b|d)s?)(?: 2| two)?",
            r"(?:code|coat|cold|call|digits?|numbers?) (?:on|at|from) the (?:back|mac|bag|black|reverse)",
            rf"(?:back|mac|mark|bag|black) of (?:the|your|my) {_CARD}",
            r"last (?:three|3|four|4)",
        ),
        CARD_EXPIRY: (
            r"(?:expiry|expiration|expiring|expire) (?:date|day|month)",
            r"(?:it|card|that) (?:expires|expired|is valid until)",
            r"(?:expires|valid) (?:on|in|until|till|through|thru)",
        ),
        TELEPHONE: (
            r"(?:tele)?phone numbers?",
            r"(?:mobile|cell|callback|contact|landline|home|work) numbers?",
            r"best numbers?",
            r"numbers? (?:to|can we|can i|should we|do we|we can|i can) (?:reach|call|ring|get|contact)",
            r"(?:call|ring|reach|get|phone) (?:me|you|us) (?:back )?(?:at|on|up|under)",
        ),
        IBAN: (
            r"(?:i ?ban|eye ban|iban|i van|ivan|high ban)",
            r"(?:bank )?account(?: number)? is",
            r"(?:account|sort|routing) (?:numbers?|codes?)",
            r"bank account",
        ),
        NATIONAL_NUMBER: (
            r"social(?: security| insurance)?(?: numbers?)? is",
            r"(?:social|insurance|tax|passport|medicare|nhs|licen[cs]e) (?:security |id |identification )?numbers?",
            r"social security",
            r"\bssn\b",
        ),
        EMAIL: (
            r"e ?mail address(?:es)?(?: is)?",
            r"e ?mail is",
            r"write to me at",
        ),
        BIRTH_DATE: (
            r"(?:date|day|data) of birth",
            r"(?:birthday|birth date|birthdate|birth day) is",
            r"(?:were|was) (?:i|you|he|she) born",
        ),
    },
    hints={
        CARD: (rf"\b{_CARD}\b", r"\b(?:visa|mastercard|master card|amex|american express|maestro)\b"),
        SECURITY_CODE: (r"\b(?:code|digits?|cvv?|on the (?:back|mac|bag))\b",),
        CARD_EXPIRY: (r"\b(?:expir\w+|valid)\b",),
        TELEPHONE: (
            r"\bnumber\b",
            r"\b(?:call|ring|reach|phone) (?:me|us|back|him|her)\b",
            r"\b(?:mobile|telephone|phone|cell)\b",
        ),
        IBAN: (r"\baccount\b",),
        NATIONAL_NUMBER: (r"\bsocial\b", r"\binsurance\b"),
        EMAIL: (r"(?:e ?)?mail(?: is)?", r"(?:send|write|mail) (?:it |that |this |them |me )?to"),
        BIRTH_DATE: (r"born", r"birth\w*", r"(?:day|date|data|latest?) (?:of|on) (?:bird|berth|board|burn)"),
    },
    asks=(
        r"\b(?:what|which|whats|what's|can|could|may|would|please|give|tell|read|need|have|take|confirm|type|enter|spell)\b",
    ),
    repeats=(r"(?:okay |ok |and )?(?:so|that is|that's|let me|i have|i've got|you said|i'll read|just to)",),
    at=frozenset(("at", "@")),
    dot=frozenset(("dot", "point", "not")),
    domains=frozenset(["com", "org", "net", "edu", "gov", "info", "io", "uk", "de", "eu", "ie", "ca", "au", "biz"]),
)  # fmt: skip
