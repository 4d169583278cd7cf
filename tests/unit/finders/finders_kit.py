"""What finders leave of a conversation."""

from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Conversation
from vcond.redaction.finding import finders, found


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
