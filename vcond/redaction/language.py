"""What a language says of numbers and of secrets, as data. One module of ``languages`` for each."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Language(msgspec.Struct, frozen=True):
    """Words are in small letters, without punctuation. Patterns are regular expressions over such words, one space apart."""

    tag: str
    """Primary BCP 47 subtag."""
    digits: Mapping[str, str]
    """Words that say digits and nothing else: ``four`` 4, ``nineteen`` 19, ``forty`` 40."""
    sounds: Mapping[str, str]
    """Words that an engine writes for digits that sound alike. They count only beside digits, or where a number was asked for."""
    counts: Mapping[str, int]
    """Words before a digit that say it several times: ``double`` 2."""
    scales: Mapping[str, str]
    """Words after digits that say zeros: ``hundred`` 00."""
    fillers: frozenset[str]
    """Words between the digits of a number that say nothing."""
    ordinals: Mapping[str, str]
    """Days of a month."""
    months: frozenset[str]
    leads: Mapping[str, tuple[str, ...]]
    """By kind: what is said before such a secret, or to ask for one. What follows goes, whatever the engine made of it."""
    hints: Mapping[str, tuple[str, ...]]
    """By kind: what may be said before such a secret, and before other things. What follows goes when it has digits."""
    asks: tuple[str, ...]
    """What makes a question or request of a turn that has a lead in it."""
    repeats: tuple[str, ...]
    """How a turn begins in which somebody reads a number back."""
    at: frozenset[str]
    """How ``@`` is said."""
    dot: frozenset[str]
    """How ``.`` is said."""
    domains: frozenset[str]
    """Last parts of addresses, as they are said."""
