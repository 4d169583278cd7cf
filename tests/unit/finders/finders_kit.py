"""Conversations written as text, and what finders leave of them."""

from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Conversation, KeyPressed, SpokenWord, Turn
from vcond.redaction.finding import finders, found


def conversation(*turns: tuple[int, str], keys: str = "", keyed_at: float = 0.0, pause: float = 0.5) -> Conversation:
    """Turns of (party, text), a word every 0.4 s; keys of party 0, one a second."""
    made, now = [], 0.0
    for n, (party, text) in enumerate(turns):
        words = tuple(
            SpokenWord(0, party, n, i, word, now + 0.4 * i, now + 0.4 * i + 0.3) for i, word in enumerate(text.split())
        )
        end = now + 0.4 * max(1, len(words))
        made.append(Turn(n, 0, party, now, end, words, "en"))
        now = end + pause
    pressed = tuple(KeyPressed(0, i, keyed_at + i, key) for i, key in enumerate(keys))
    return Conversation(tuple(made), pressed)


def left(spoken: Conversation, **config) -> list[str]:
    """The texts of the turns, with an _ for each word that goes, and * for a turn that goes as a whole."""
    secrets = found(finders(RedactionConfig(**config)), spoken)
    gone = {(word.turn, word.index) for secret in secrets for word in secret.words}
    whole = {number for secret in secrets for number in secret.turns}
    return [
        "*"
        if turn.number in whole
        else " ".join("_" if (turn.number, word.index) in gone else word.text for word in turn.words)
        for turn in spoken.turns
    ]


def kinds(spoken: Conversation, **config) -> set[str]:
    """What was found."""
    return {secret.kind for secret in found(finders(RedactionConfig(**config)), spoken)}
