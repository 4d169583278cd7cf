"""Telephone calls in which secrets are said, made by script: what is said, spoken by Debian's voices, heard by the engine.

Every kind has carrier sentences of our own. A sentence is spoken in pieces, so that it is known where in the sound its
secret is. ``items`` says what is said, ``recognized`` what the packaged engine writes of it: what the finders are shown.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vcond.media.codecs import Codec, decode, encode
from vcond.speech.engine import EngineOptions, Hint, load

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from make_demo_call import Flite, Voice, levelled, telephone

RATE = 8000
HISS = 20.0
"""Noise of the line: rms of samples of 16 bits, about -64 dBFS."""
CALLER, AGENT = 0, 1
SAME = {"card-split", "card-asked", "card-read-back"}
"""Other ways to say a card's number."""
BESIDE = {"security-code", "card-expiry"}
"""What is said after a card's number."""
KINDS = (
    "card", "card-split", "card-asked", "card-read-back", "security-code", "security-code-asked", "card-expiry", "telephone",
    "telephone-asked", "iban", "national-number", "email", "birth-date", "customer-number",
)  # fmt: skip
UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
    "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A turn: its pieces, and which of them are secret."""

    party: int
    pieces: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Item:
    """A piece of a call with one secret in it; or without, where ``kind`` is empty."""

    kind: str
    turns: tuple[Said, ...]


def pair(two: str) -> str:
    """``45`` as forty five, ``05`` as oh five."""
    if two[0] == "0":
        return f"oh {UNITS[int(two[1])]}"
    if two[0] == "1":
        return TEENS[int(two[1])]
    return TENS[int(two[0])] + (f" {UNITS[int(two[1])]}" if two[1] != "0" else "")


def singly(digits: str, zero: str = "zero", group: int = 4, comma: str = ",") -> str:
    """Digit by digit, in groups."""
    words = [zero if d == "0" else UNITS[int(d)] for d in digits]
    return f"{comma} ".join(" ".join(words[i : i + group]) for i in range(0, len(words), group))


def doubled(digits: str, zero: str = "oh") -> str:
    """Two of a kind as double."""
    out, at = [], 0
    while at < len(digits):
        same = 2 if digits[at : at + 2] == digits[at] * 2 else 1
        out.append(("double " if same == 2 else "") + (zero if digits[at] == "0" else UNITS[int(digits[at])]))
        at += same
    return " ".join(out)


def number(rng: random.Random, length: int) -> str:
    """Digits, not beginning with 0."""
    return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(length - 1))


def card(rng: random.Random) -> str:
    """A number that Luhn likes, as an issuer would give."""
    body = rng.choice(["4", "4", "51", "55", "2221"])
    body += "".join(str(rng.randint(0, 9)) for _ in range(15 - len(body)))
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(body))
    return body + str(-total % 10)


def spoken_card(rng: random.Random) -> str:
    """In one of the ways of people."""
    digits = card(rng)
    pairs = " ".join(pair(digits[i : i + 2]) for i in range(0, 16, 2))
    return rng.choice([singly(digits), singly(digits, "oh"), singly(digits, comma=""), pairs, doubled(digits)])


def spoken_telephone(rng: random.Random) -> str:
    """American or British."""
    if rng.random() < 0.5:
        return doubled("0" + rng.choice(["77", "20", "161"]) + number(rng, 8))
    digits = number(rng, 10)
    return f"{singly(digits[:3])}, {singly(digits[3:6])}, {singly(digits[6:])}"


def spoken_date(rng: random.Random) -> str:
    """A day of the last century."""
    year = f"nineteen {pair(str(rng.randint(40, 99)))}"
    day, month = rng.choice(DAYS), rng.choice(MONTHS)
    return rng.choice(
        [
            f"the {day} of {month} {year}",
            f"{month} {day} {year}",
            f"{UNITS[rng.randint(1, 9)]} {TEENS[rng.randint(0, 2)]} {year}",
        ]
    )


def spoken_email(rng: random.Random) -> str:
    """Letters are said as words here: voices spell badly."""
    first, last = rng.choice(["john", "mary", "peter", "susan"]), rng.choice(["smith", "miller", "baker", "walker"])
    host = rng.choice(["example", "gmail", "bluewater", "northwind"])
    mid = rng.choice([" dot ", " ", " underscore "])
    return f"{first}{mid}{last} at {host} dot {rng.choice(['com', 'org', 'net', 'co dot uk'])}"


def spoken_iban(rng: random.Random) -> str:
    """British: G B, two digits, four letters, fourteen digits."""
    letters = " ".join(rng.choice("ABCDEFGHJKLMNPRSTW") for _ in range(4))
    return f"G B {singly(number(rng, 2))}, {letters}, {singly(number(rng, 14))}"


def spoken_expiry(rng: random.Random) -> str:
    """Month and year."""
    month, year = rng.randint(1, 12), str(rng.randint(26, 33))
    said = pair(f"{month:02}")
    return rng.choice(
        [f"{said} {pair(year)}", f"{MONTHS[month - 1]} twenty {pair(year)}", f"{said} slash {pair(year)}"]
    )


SECRETS: dict[str, Callable[[random.Random], str]] = {
    "card": spoken_card,
    "security-code": lambda rng: singly(number(rng, 3)),
    "card-expiry": spoken_expiry,
    "telephone": spoken_telephone,
    "iban": spoken_iban,
    "national-number": lambda rng: (
        f"{singly(d := number(rng, 9))[:0]}{singly(d[:3])}, {singly(d[3:5])}, {singly(d[5:])}"
    ),
    "email": spoken_email,
    "birth-date": spoken_date,
    "customer-number": lambda rng: singly(number(rng, 8)),
}
SAYS: dict[str, tuple[tuple[str, str], ...]] = {
    "card": (
        ("okay my card number is", "thank you very much for your help"),
        ("sure the number on the card is", "and I would like it tomorrow please"),
        ("I want to pay by credit card and the number is", ""),
        ("the long number across the front is", "did you get that"),
        ("let me read you my debit card", "that is all"),
        ("so it is a visa card and it goes", "and my name is on it"),
    ),
    "security-code": (
        ("and the security code is", "thank you very much for your help"),
        ("the three digits on the back are", "is that right"),
        ("my C V V is", ""),
        ("and the code on the back of the card is", "okay"),
        ("the verification number is", "I think"),
    ),
    "card-expiry": (
        ("the expiry date is", "thank you"),
        ("and it expires", "so it is still good"),
        ("it is valid until", ""),
        ("my card expires on", "is that all you need"),
        ("expiration date", "and that is everything"),
    ),
    "telephone": (
        ("you can call me at", "thank you very much for your help"),
        ("my phone number is", "in the evening please"),
        ("you can reach me on", ""),
        ("please ring me back on", "after six"),
        ("my mobile number is", "that is the best one"),
        ("the best number for me is", "okay"),
    ),
    "iban": (
        ("my account number is", "thank you"),
        ("the I ban is", "did you get all of it"),
        ("please pay it to the account", ""),
        ("my bank account is", "at the local branch"),
    ),
    "national-number": (
        ("my social security number is", "thank you"),
        ("my social is", "is that enough"),
        ("the tax number is", ""),
        ("my national insurance number is", "as far as I know"),
    ),
    "email": (
        ("my email address is", "thank you"),
        ("please send it to", "by tomorrow"),
        ("you can write to me at", ""),
        ("the email is", "all in small letters"),
    ),
    "birth-date": (
        ("my date of birth is", "thank you"),
        ("I was born on", "in a small town"),
        ("my birthday is", ""),
        ("born", "if that helps"),
    ),
    "customer-number": (
        ("my customer number is", "thank you"),
        ("the customer number on my bill is", "is that the right one"),
        ("it says customer number", ""),
    ),
}  # fmt: skip
ASKS: dict[str, tuple[str, ...]] = {
    "card": (
        "can I take the long card number please",
        "what is the number on the card",
        "please read me your credit card number",
        "could you give me the sixteen digits across the front",
        "and which card would you like to pay with, I need the number",
    ),
    "security-code": (
        "and the security code on the back",
        "can I have the last three digits on the back of the card",
        "what is the C V V",
        "and the three digit code please",
        "now I need the verification code",
    ),
    "telephone": (
        "what is the best number to reach you",
        "can I have a phone number please",
        "and your telephone number",
        "what number can we call you back on",
        "could I take a mobile number for you",
    ),
}  # fmt: skip
QUESTIONS = {question for each in ASKS.values() for question in each}
ANSWERS = ("yes it is", "", "sure", "okay that is", "let me see")
THANKS = ("thank you", "okay great", "lovely thanks", "got it")
CLEAN = (
    "I would like to order two large pizzas for seven thirty",
    "the delivery came at nine in the morning and nobody was home",
    "my flight leaves on the third of May at ten past six",
    "it costs two hundred and forty nine dollars and ninety cents",
    "I have been waiting for forty five minutes",
    "can you tell me what time you close on Sunday",
    "we are four people and two children",
    "I paid by card last week and it still has not arrived",
    "the box has one red button and three green ones",
    "please turn left after the second bridge",
    "there were more than one thousand people at the concert",
    "my order should come between two and four this afternoon",
    "I called you twice last month about the same problem",
    "the meeting is on the twenty first of June in room five",
    "it is about twenty five miles from here",
    "he won the race for the third time",
    "I read the whole book in one day",
    "she has been with the company since nineteen ninety eight",
    "there are about three hundred and sixty five days in a year",
    "we need six chairs and one table for the garden",
    "can you send somebody to look at the washing machine",
    "the parcel is too heavy for me to lift",
    "I would like to speak to someone about my bill",
    "the internet has been slow for two weeks now",
    "could you call me back tomorrow morning",
    "I do not want to give my details over the phone",
    "the train was fifty minutes late and I missed the bus",
    "we ordered ten boxes and only eight came",
    "my password does not work any more",
    "they said it would take five to seven working days",
    "is there a discount for more than three nights",
    "the room was twenty degrees and very quiet",
    "I think you charged me twice for the same thing",
    "the light on the box is red and not green",
    "please hold the line while I look for you",
    "your appointment is at a quarter past eleven on Friday",
    "the card was declined and I do not know why",
    "our office is on the fourth floor of the old building",
    "I am ringing about the letter that came on Monday",
    "you will get a text message when it is on the way",
    "the match ended two to one and we went home",
    "it weighs about one and a half kilos",
    "I lost my phone on the bus yesterday",
    "we moved here in two thousand and nine",
    "do you have this in a size twelve",
    "the engine has been making a noise for three days",
    "I want to change the address on my account",
    "that is the second time this has happened this year",
    "you are number five in the queue",
    "what is the weather like over there today",
)
TALK = (
    ("how many chairs do you need", "about two hundred and fifty"),
    ("what time would suit you", "four thirty in the afternoon"),
    ("can I take your name please", "it is Susan Miller"),
    ("what is your house number", "two hundred and three"),
    ("which model do you have", "the one from two thousand and nineteen"),
    ("anything else today", "no that is all thank you"),
    ("would you like to pay by card or in cash", "by card please"),
    ("do you have your phone with you", "no it is at home"),
    ("what size is it", "twelve by fourteen inches"),
    ("how old is the machine", "nine years or so"),
)
"""A question and an answer, with nothing secret in them."""


def items(seed: int, each: int) -> list[Item]:
    """So many of each kind, then twice what is clean."""
    rng = random.Random(seed)
    out = [Item(kind, tuple(turns(kind, n, rng))) for kind in KINDS for n in range(each)]
    clean = [Item("", (Said(CALLER, ((text, False),)),)) for text in CLEAN]
    clean += [Item("", (Said(AGENT, ((one, False),)), Said(CALLER, ((other, False),)))) for one, other in TALK]
    return out + clean * 2


def turns(kind: str, n: int, rng: random.Random) -> Iterator[Said]:
    """One secret of the kind, as it is said in a call."""
    base = "card" if kind in SAME else kind.removesuffix("-asked")
    secret = SECRETS[base](rng)
    before, after = SAYS[base][n % len(SAYS[base])]
    if base in BESIDE:
        yield Said(CALLER, tuple((text, False) for text in ("my card number is", spoken_card(rng))))
        yield Said(AGENT, (("thank you", False),))
    if kind.endswith("-asked"):
        yield Said(AGENT, ((ASKS[base][n % len(ASKS[base])], False),))
        yield Said(CALLER, _pieces(rng.choice(ANSWERS), secret, ""))
    elif kind == "card-split":
        digits = card(rng)
        yield Said(CALLER, _pieces(before, singly(digits[:8], comma=""), ""))
        yield Said(AGENT, (("okay", False),))
        yield Said(CALLER, _pieces("", singly(digits[8:], comma=""), after))
    elif kind == "card-read-back":
        digits = card(rng)
        yield Said(CALLER, _pieces(before, singly(digits), after))
        yield Said(AGENT, _pieces(rng.choice(["so that is", "let me repeat", "I have"]), singly(digits), ""))
    else:
        yield Said(CALLER, _pieces(before, secret, after))
    if rng.random() < 0.5:
        yield Said(AGENT, ((rng.choice(THANKS), False),))


def _pieces(before: str, secret: str, after: str) -> tuple[tuple[str, bool], ...]:
    return tuple((text, it is secret) for it, text in ((before, before), (secret, secret), (after, after)) if text)


class _Flite(Flite):
    def say(self, text: str) -> tuple[np.ndarray, int]:
        """Samples, full scale = 1, and their rate."""
        utterance = self._lib.flite_synth_text(text.encode("ascii"), self._voice)
        wave_ = self._lib.utt_wave(utterance).contents
        raw = np.ctypeslib.as_array(wave_.data, (wave_.samples,)).astype(np.float64) / 32768
        rate = wave_.rate
        self._lib.delete_utterance(utterance)
        return raw, rate


def _espeak(voice: str, speed: int) -> Callable[[str], tuple[np.ndarray, int]]:
    def say(text: str) -> tuple[np.ndarray, int]:
        run = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text]
        raw = subprocess.run(run, capture_output=True, check=True).stdout
        with wave.open(io.BytesIO(raw)) as file:
            pcm = np.frombuffer(raw[44:], "<i2")
            return pcm / 32768, file.getframerate()

    return say


def voices() -> list[Callable[[str], tuple[np.ndarray, int]]]:
    """Six accents of espeak-ng at three speeds, and four voices of flite."""
    accents = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us+f3")
    made = [_espeak(accent, (140, 160, 180)[i % 3]) for i, accent in enumerate(accents)]
    return made + [_Flite(Voice(name, 1.0)).say for name in ("slt", "rms", "awb", "kal16")]


def sound(
    said: Said, say: Callable[[str], tuple[np.ndarray, int]], rng: np.random.Generator
) -> tuple[np.ndarray, list[list[float]]]:
    """A turn on the line, and from when to when its secrets are said, in seconds."""
    parts, spans, now = [np.zeros(RATE // 5)], [], RATE // 5
    for text, secret in said.pieces:
        raw, rate = say(text)
        heard = np.flatnonzero(np.abs(raw) > 0.01)
        part = levelled(telephone(raw[heard[0] : heard[-1] + 1], rate))
        if secret:
            spans.append([round(now / RATE, 2), round((now + len(part)) / RATE, 2)])
        gap = np.zeros(RATE // 12)
        parts += [part, gap]
        now += len(part) + len(gap)
    pcm = np.concatenate([*parts, np.zeros(RATE // 2)]) * 32767
    pcm = (pcm + rng.normal(0, HISS, len(pcm))).clip(-32768, 32767).astype(np.int16)
    return decode(Codec.PCMU, encode(Codec.PCMU, pcm)), spans


def recognized(given: list[Item], seed: int) -> Iterator[dict[str, Any]]:
    """What the packaged engine writes of each: kind, and of each turn party, length, words, their times, the secrets' spans."""
    engine, noise, rng = load("whisper", EngineOptions(threads=2)), np.random.default_rng(seed), random.Random(seed)
    every = voices()
    for item in given:
        mouths = rng.sample(every, 2)
        out: list[dict[str, Any]] = []
        for said in item.turns:
            pcm, spans = sound(said, mouths[said.party], noise)
            listening = engine.open(Hint(RATE, "en"))
            listening.feed(pcm)
            words = listening.finish().words
            out.append(
                {
                    "party": said.party,
                    "seconds": round(len(pcm) / RATE, 2),
                    "text": " ".join(word.text for word in words),
                    "times": [round(100 * at) for word in words for at in (word.start, word.stop)],
                    "secrets": spans,
                }
            )
        yield {"kind": item.kind, "announced": _announced(item, [one["text"] for one in out]), "turns": out}


def _announced(item: Item, texts: list[str]) -> bool:
    """Whether the engine wrote the last three words of what announces the secret, or of the question for it, as they were said."""
    pieces = [(n, text, secret) for n, said in enumerate(item.turns) for text, secret in said.pieces]
    for (n, text, secret), (_, _, follows) in pairwise(pieces):
        wanted = " ".join(text.lower().replace(",", "").split()[-3:])
        heard = " ".join("".join(c for c in texts[n].lower() if c.isalnum() or c in " '").split())
        if (follows or (text in QUESTIONS)) and not secret and len(wanted.split()) > 1 and wanted in heard:
            return True
    return False
