"""The contract of a speech engine. An engine lives in a worker process and nowhere else.

A third party registers its class in the entry point group ``vcond.engines``; the name there is what
``[speech] engine`` says. The class is called with ``EngineOptions`` in the worker; what it imports, it imports there.

Times inside an engine are float seconds from the first sample fed to the recognition; the service maps them to samples
of the track. Asking for what was heard so far (``partial``) is apart from feeding, because it costs: a Whisper engine
decodes everything again, so the scheduler asks only when the machine has time.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

import msgspec

from vcond.base.errors import ConfigError, MissingExtraError, how_to_install

GROUP = "vcond.engines"
BUILT_IN = {
    "remote": "vcond.speech.engines.remote:RemoteEngine",
    "vosk": "vcond.speech.engines.vosk:VoskEngine",
    "whisper": "vcond.speech.engines.whisper:WhisperEngine",
}
"""For a checkout that is not installed and so has no entry points."""

if TYPE_CHECKING:  # lists of models are shown without numpy
    import numpy as np
    from numpy.typing import NDArray

Pcm: TypeAlias = "NDArray[np.int16]"


class Server(msgspec.Struct, frozen=True):
    """A speech server on the network, for an engine that only asks it."""

    url: str
    """``ws://host:2700`` or ``wss://``."""
    token: str = ""
    """Sent as ``Authorization: Bearer``; empty = nothing is."""
    ca: str = ""
    """File of the certificates that its TLS certificate is checked with; empty = the machine's."""
    language: str = ""
    """BCP 47 of what it understands; empty = not known."""
    patience: float = 20.0
    """Seconds that one step may take, below which it has to give up by itself."""

    def __repr__(self) -> str:
        """Without the token: it may end up in a log line."""
        return f"Server({self.url!r})"


class EngineOptions(msgspec.Struct, frozen=True):
    """What an engine is made with."""

    model: str = ""
    """Folder of the model; empty = the engine's own way to find one."""
    threads: int = 1
    """CPU threads it may use."""
    server: Server | None = None
    """Whom to ask, for an engine that has no model of its own."""
    streams: int = 8
    """Recognitions that are open at once: as many may be kept ready."""
    vocabulary: tuple[str, ...] = ()
    """That of most utterances; empty = every word."""
    vocabularies: bool = False
    """Some utterances have a vocabulary of their own."""
    max_active: int = 0
    """How many states a search may keep at most, for an engine that searches; 0 = what its model says."""


class Caps(msgspec.Struct, frozen=True):
    """What an engine can do."""

    streaming: bool
    """True: it works while audio comes in, and a recognition is kept open over an utterance.
    False: it needs the whole utterance, and what it heard so far is decoded anew each time it is asked for."""
    languages: tuple[str, ...] = ()
    """Primary BCP 47 subtags it understands; empty = not known."""
    forks: bool = False
    """True: a process that loaded it may be forked, and both work. It has no threads then, no connections and no files
    that it shares; the process is looked at too, and not forked when it has more than one thread."""
    warning: str = ""
    """What the operator should know of it; it is logged."""


class Hint(msgspec.Struct, frozen=True):
    """What is known of an utterance beforehand."""

    rate: int
    """Samples a second of what will be fed, 8,000 to 48,000."""
    language: str = ""
    """BCP 47; empty = unknown."""
    vocabulary: tuple[str, ...] = ()
    """The only words and phrases there are; empty = all. An engine that cannot restrict itself says so (``Final.note``)."""


class Heard(msgspec.Struct, frozen=True):
    """One word as it is written in the text, punctuation included."""

    start: float
    """Seconds from the first sample fed."""
    stop: float
    text: str
    confidence: float
    """0 to 1."""


class Partial(msgspec.Struct, frozen=True):
    """What was heard so far; may change entirely."""

    text: str


class Final(msgspec.Struct, frozen=True):
    """What was said. An empty text: nothing was understood."""

    text: str
    words: tuple[Heard, ...] = ()
    """Joined with spaces they are the text, in languages that put spaces between words."""
    language: str = ""
    """BCP 47 of the text; empty = not known."""
    confidence: float = 0.0
    """0 to 1, of the whole text."""
    note: str = ""
    """What whoever reads the text should know of how it was made: that a vocabulary could not be kept to. A sentence that is
    the same for all utterances that it holds for, without words of the vocabulary or of what was said."""


class Recognition(Protocol):
    """One utterance being listened to.

    An engine that asks a server raises ``vcond.base.errors.UnreachableError`` while that is away: the utterance waits, and is
    not counted as one that the engine fails on.
    """

    def feed(self, pcm: Pcm) -> None:
        """Take more audio: shape (samples,), int16, at the hint's rate."""

    def partial(self) -> Partial:
        """What was heard so far."""

    def finish(self) -> Final:
        """All of it. The recognition is over then."""

    def reset(self) -> None:
        """Forget everything that was fed; the recognition is over. After this and after ``finish`` the engine may give
        what it holds to an utterance of any other caller, so nothing of this one may be left in it.
        """


class Engine(Protocol):
    """A loaded model. Made once in a worker with ``EngineOptions``; raises OperatorError kinds when it cannot be."""

    @property
    def name(self) -> str:
        """``vosk``, ``whisper``: as it appears in records."""

    @property
    def model(self) -> str:
        """The model's name, as it appears in records: ``tiny.en``, never a path."""

    @property
    def caps(self) -> Caps:
        """What it can do."""

    def open(self, hint: Hint) -> Recognition:
        """Ready for one utterance."""


@runtime_checkable
class Warms(Protocol):
    """An engine that gets faster by work done beforehand, in the process that its workers are forked from."""

    def warm(self) -> Iterator[None]:
        """Steps of a tenth of a second or so, until it is as fast as it gets. Others' work is done between them."""


def load(spec: str, options: EngineOptions) -> Engine:
    """The engine of a name in the group ``vcond.engines``, or of ``package.module:Class``.

    Raises ConfigError for a name that nobody registered or a module that is broken, MissingExtraError for a package that
    is not installed, and whatever OperatorError the engine itself raises.
    """
    return cast("Engine", engine_class(spec)(options))


def engine_class(spec: str) -> Any:
    """What makes it. Raises as ``load``."""
    target = spec if ":" in spec else _registered(spec)
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as why:
        missing = why.name or ""
        if missing.startswith(("vcond.", f"{module.partition('.')[0]}.")):
            raise _broken(spec, target, why) from why
        raise MissingExtraError(f"engine {spec} needs the package {missing}: {how_to_install(missing)}") from why
    except (ImportError, AttributeError, SyntaxError) as why:
        raise _broken(spec, target, why) from why


def _broken(spec: str, target: str, why: Exception) -> ConfigError:
    return ConfigError(f"engine {spec} cannot be loaded from {target} ({why})", "speech.engine")


def registered() -> dict[str, str]:
    """Names of engines and where they are."""
    return {**BUILT_IN, **{point.name: point.value for point in entry_points(group=GROUP)}}


def _registered(name: str) -> str:
    known = registered()
    if name not in known:
        raise ConfigError(f"no engine {name}; engines: {', '.join(sorted(known))}", "speech.engine")
    return known[name]
