"""The languages that numbers are read in, by tag."""

from __future__ import annotations

from vcond.redaction.language import Language
from vcond.redaction.languages.en import ENGLISH

LANGUAGES: dict[str, Language] = {language.tag: language for language in (ENGLISH,)}
