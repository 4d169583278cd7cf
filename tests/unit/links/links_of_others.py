"""Links as another package may bring them, some of which do not do their work."""

import os
import time
from pathlib import Path

from vcond.sdk.link import LinkedVcon


class Base:
    def __init__(self, options):
        self.options = options


class Two(Base):
    """Two of each."""

    def work(self, vcon):
        for name in ("first", "second"):
            yield LinkedVcon({**vcon, "subject": name})


class Waits(Base):
    """For what never comes, where the subject says so; else it makes nothing."""

    def work(self, vcon):
        if vcon.get("subject") == "wait":
            time.sleep(3600)
        return ()


class Gone(Base):
    """Ends its process, until a file is there."""

    def work(self, vcon):
        if not Path(self.options.settings["until"]).exists():
            os._exit(3)
        yield LinkedVcon(vcon)


class Large(Base):
    def work(self, vcon):
        yield LinkedVcon({**vcon, "subject": "x" * 1_000_001})


class Odd(Base):
    """What is no vCon that can be kept."""

    def work(self, vcon):
        yield LinkedVcon({**vcon, "parties": 7})


class Heavy(Base):
    """More than a message may have, each of it small enough."""

    def work(self, vcon):
        for _ in range(5):
            yield LinkedVcon({**vcon, "subject": "x" * 60_000_000})


class Forks(Base):
    """Leaves a process, which has its socket, behind, and says which in a file."""

    def work(self, vcon):
        child = os.fork()
        if child == 0:
            time.sleep(3600)
        Path(self.options.settings["child"]).write_text(str(child))
        os._exit(3)
