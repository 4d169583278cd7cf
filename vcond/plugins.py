"""What is installed: adapters and sinks by name. Adapters come only through entry points; ours have no privilege."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from vcond.adapter import Adapter
from vcond.calls.time import Instant
from vcond.config import Config, SealConfig, plugin_configs
from vcond.config.load import convert
from vcond.delivery import ConserverConfig, ConserverSink, FolderConfig, FolderSink, ShapedSink
from vcond.errors import ConfigError, MissingExtraError, how_to_install
from vcond.vcon import Profile, serialize
from vcond.vcon.envelope import encrypt
from vcond.vcon.keys import Signer, load_recipient, load_signer
from vcond.vcon.keys import check as check_signer
from vcond.vcon.signing import sign, signed

GROUP = "vcond.adapters"
FORMS = ("plain", "signed", "encrypted")
SINKS: dict[str, tuple[type[msgspec.Struct], Any]] = {
    "conserver": (ConserverConfig, ConserverSink),
    "folder": (FolderConfig, FolderSink),
}


def adapters(config: Config) -> dict[str, Adapter]:
    """The configured adapters by name. Raises ConfigError, or MissingExtraError for one that lacks its packages."""
    installed = {point.name: point for point in entry_points(group=GROUP)}
    kinds: dict[str, Any] = {}
    for name in config.adapters:
        if name in installed:
            try:
                kinds[name] = installed[name].load()
            except ImportError as why:
                extra = "webrtc" if name in {"webrtc", "janus"} else str(why.name)
                raise MissingExtraError(
                    f"adapter {name!r} needs a package that is not installed ({why.name}): {how_to_install(extra)}"
                ) from why
    known = {name: kinds[name].Config if name in kinds else msgspec.Struct for name in installed}
    typed = plugin_configs(config.adapters, known, "adapters")
    return {name: kinds[name](section) for name, section in typed.items()}


def setup_text(name: str) -> str:
    """How to set up one system for vcond: what its adapter brings. Raises ConfigError.

    That is ``setup.md`` of the adapter's package, or ``setup-<name>.md`` where that holds several adapters.
    """
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        raise ConfigError(f"there is no adapter {name!r}; installed are: {', '.join(sorted(installed))}")
    package = resources.files(installed[name].module.partition(".")[0])
    own = package.joinpath(f"setup-{name}.md")
    text = own if own.is_file() else package.joinpath("setup.md")
    if not text.is_file():
        raise ConfigError(f"adapter {name!r} brings no setup.md; see its own documentation")
    return text.read_text("utf-8")


def sinks(config: Config, *, clock: Callable[[], Instant]) -> list[ShapedSink]:
    """The configured sinks in order, each under a name of its own, each with its form of a vCon. Raises ConfigError."""
    made: list[ShapedSink] = []
    names: set[str] = set()
    folder = Path(config.vcond.state_dir) / "forms"
    for i, section in enumerate(config.sinks):
        at = f"sinks[{i}]"
        kind = section.get("type", "")
        if kind not in SINKS:
            raise ConfigError(f"type must be one of: {', '.join(sorted(SINKS))}", f"{at}.type")
        name = section.get("name", kind)
        if name in names:
            raise ConfigError(f"two sinks are named {name!r}; give each its own name", f"{at}.name")
        names.add(name)
        form = section.get("form", "plain")
        if form not in (FORMS if kind == "folder" else FORMS[:1]):
            why = "the conserver takes unsigned vCons only" if form in FORMS else f"one of {', '.join(FORMS)}"
            raise ConfigError(f"{form!r} cannot be: {why}", f"{at}.form")
        struct, sink = SINKS[kind]
        own = {key: value for key, value in section.items() if key not in {"type", "form"}} | {"name": name}
        inner = sink(convert(own, struct, at))
        seal = None if form == "plain" else sealer(config.seal, form, clock)
        made.append(ShapedSink(inner, seal=seal, folder=folder, domain=config.record.sip_domain))
    small = too_small(config, made)
    if small and all(sink.profile == Profile.CONSERVER for sink in made):
        why = (
            f"is {config.record.inline_limit}, but sink {small[0].name} takes {small[0].max_bytes} bytes at most "
            "(max_bytes): the audio of vCons between the two would be nowhere; make it no larger than max_bytes, so "
            "that longer calls are compressed to fit"
        )
        raise ConfigError(why, "record.inline_limit")
    return made


def too_small(config: Config, made: Sequence[ShapedSink]) -> list[ShapedSink]:
    """Conservers that take less than vCons may have, the smallest first: they get larger ones without the audio."""
    found = [s for s in made if s.profile == Profile.CONSERVER and s.max_bytes < config.record.inline_limit]
    return sorted(found, key=lambda sink: sink.max_bytes)


def sealer(config: SealConfig, form: str, clock: Callable[[], Instant]) -> Callable[[bytes], bytes]:
    """Makes the signed or encrypted form. Raises ConfigError for keys that are missing, wrong, expired or do not match."""
    signer = load_seal(config)
    check_signer(signer, clock())
    recipients = [load_recipient(pem(text, "seal.recipients")) for text in config.recipients]
    if form == "encrypted" and not recipients:
        raise ConfigError("nobody could read an encrypted vCon: name at least one", "seal.recipients")

    def seal(body: bytes) -> bytes:
        if form == "signed":
            return bytes(signed(body, signer, clock()))
        return serialize(encrypt(sign(body, signer, clock()), recipients))

    return seal


def load_seal(config: SealConfig) -> Signer:
    """The signer of ``[seal]``. Raises ConfigError."""
    if not config.key or not config.certificates:
        raise ConfigError("a signed vCon needs seal.key and seal.certificates", "seal")
    try:
        return load_signer(
            pem(config.key, "seal.key"),
            pem(config.certificates, "seal.certificates"),
            algorithm=config.algorithm,
            x5u=config.x5u,
            alg_twice=config.alg_twice,
            password=config.password.encode() or None,
        )
    except ConfigError as why:
        raise ConfigError(str(why), "" if why.path else "seal") from None


def pem(text: str, at: str) -> bytes:
    """PEM text as it is, or the file that the text names. Raises ConfigError."""
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as why:
        raise ConfigError(f"cannot read {text}: {why.strerror}", at) from None
