"""Finders as another package may bring them, some of which do not do their work."""

import ctypes
import os
import resource
import time

from vcond.redaction.contract import Conversation, Secret


class Base:
    name, kinds = "badges", ("badge",)

    def __init__(self, options):
        self.options = options


class Good(Base):
    """What its settings name, every key and the second turn; prints what it must not."""

    def find(self, conversation: Conversation):
        print("said", [word.text for turn in conversation.turns for word in turn.words])
        wanted = self.options.settings["words"]
        for turn in conversation.turns:
            if words := tuple(word for word in turn.words if word.text in wanted):
                yield Secret("badge", words, certainty=0.5)
        if conversation.keys:
            yield Secret("badge", keys=conversation.keys, turns=(1,))


class Waits(Base):
    """For what never comes."""

    def find(self, conversation: Conversation):
        if any(word.text == "wait" for turn in conversation.turns for word in turn.words):
            time.sleep(3600)
        return ()


class Gone(Base):
    def find(self, conversation: Conversation):
        os._exit(3)


class Fails(Base):
    def find(self, conversation: Conversation):
        raise ValueError(conversation.turns[0].words[0].text)


class Other(Base):
    def find(self, conversation: Conversation):
        return [Secret("badge", turns=(9,))]


class Environment(Base):
    def find(self, conversation: Conversation):
        return [Secret("badge", turns=(0,))] if "VCOND_TEST_TOKEN" not in os.environ else []


class Dumpable(Base):
    """Finds the first turn where a core file could have what it is shown: prctl(PR_GET_DUMPABLE), and the limit."""

    def find(self, conversation: Conversation):
        may = ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE)
        return [Secret("badge", turns=(0,))] if any(may) else []
