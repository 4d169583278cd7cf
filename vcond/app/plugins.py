"""The adapters and sinks of a configuration, made from the plug-ins that are installed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from importlib.metadata import EntryPoint
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from vcond.app.installed import ADAPTERS, SINKS, chosen, installed, loaded, whole
from vcond.app.matching import matches_of
from vcond.base.errors import ConfigError, is_package
from vcond.base.time import Instant
from vcond.config import Config, SealConfig, plugin_configs
from vcond.config.load import convert
from vcond.delivery import FormedSink
from vcond.delivery.forms import Content, Redacting
from vcond.redaction.finding import finders
from vcond.sdk.contract import Adapter
from vcond.storage.files import Files
from vcond.vcon import Profile, serialize
from vcond.vcon.sealing.encrypt import encrypt
from vcond.vcon.sealing.keys import Signer, load_recipient, load_signer
from vcond.vcon.sealing.keys import check as check_signer
from vcond.vcon.sealing.sign import sign, signed

PATHS = ("path", "page")
"""Keys of adapters that are paths of the daemon's port."""
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")
"""A link that leads nowhere on an installed machine."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
FORMS = ("plain", "signed", "encrypted")


def adapters(config: Config) -> dict[str, Adapter]:
    """The configured adapters by the name of their section, whose kind is ``type``, or the name itself.

    Raises ConfigError, or MissingExtraError for one that lacks its packages.
    """
    points = {name: _kind(name, section) for name, section in config.adapters.items()}
    kinds = {name: point.name for name, point in points.items()}
    classes = {
        kind: loaded(ADAPTERS, point, f"adapters.{name}")
        for kind, name, point in sorted((kinds[name], name, point) for name, point in points.items())
    }
    sections = {
        name: _own_paths(
            name, kinds[name], {k: v for k, v in section.items() if k != "type"}, classes[kinds[name]].Config
        )
        for name, section in config.adapters.items()
    }
    typed = plugin_configs(sections, {name: classes[kind].Config for name, kind in kinds.items()}, "adapters")
    _refuse_same_paths(typed)
    return {name: _made(classes[kinds[name]], name, own) for name, own in typed.items()}


def _kind(name: str, section: Mapping[str, Any]) -> EntryPoint:
    point = chosen(
        ADAPTERS, section.get("type", name), f"adapters.{name}.type" if "type" in section else f"adapters.{name}"
    )
    kind = point.name
    if kind != name and not _NAME.fullmatch(name):
        raise ConfigError(
            "the name of an adapter may have lower-case letters, digits, - and _, at most 40", f"adapters.{name}"
        )
    if kind != name and name in installed(ADAPTERS):
        raise ConfigError(
            f"is the name of an adapter of another kind than {kind!r}: choose another name", f"adapters.{name}"
        )
    return point


def _own_paths(name: str, kind: str, section: dict[str, Any], config: Any) -> dict[str, Any]:
    """A second system of a kind is reached at paths of its own: ``/twilio/stream`` of ``branch`` is ``/branch/stream``."""
    if name == kind:
        return section
    for field in msgspec.structs.fields(config):
        if field.name in PATHS and field.name not in section and isinstance(field.default, str) and field.default:
            section[field.name] = f"/{name}/{field.default.removeprefix(f'/{kind}').strip('/') or kind}"
    return section


def _refuse_same_paths(typed: Mapping[str, Any]) -> None:
    taken: dict[str, str] = {}
    for name, own in typed.items():
        for field in PATHS:
            path = getattr(own, field, "")
            if path and taken.setdefault(path, f"adapters.{name}.{field}") != f"adapters.{name}.{field}":
                raise ConfigError(
                    f"{path} is already used by {taken[path]}: choose another path", f"adapters.{name}.{field}"
                )


def _made(kind: Any, name: str, own: Any) -> Adapter:
    try:
        made: Adapter = kind(own)
    except ConfigError as why:
        raise ConfigError(why.message, in_its_name(why.path, kind.name, name)) from None
    return made


def in_its_name(text: str, kind: str, name: str) -> str:
    """What an adapter says of its keys, with the name that its section has."""
    return text if kind == name else text.replace(f"adapters.{kind}.", f"adapters.{name}.")


def hints(name: str) -> dict[str, str]:
    """What an adapter says is to be done about what is missing in a record, by code (``vcond.call.diagnosis``).

    That is ``hints.toml`` of the adapter's package, or ``hints-<name>.toml``; one that brings none says nothing.
    """
    known = installed(ADAPTERS)
    text = of_package(known[name][0], name, "hints.toml") if name in known else None
    if text is None or not text.is_file():
        return {}
    try:
        told = tomllib.loads(text.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # of somebody else's package: the general hint is shown
    return {code: one for code, one in told.items() if isinstance(one, str)}


def hints_by_section(adapters: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """``hints`` of all that are configured, by the name of their section, which calls have."""
    return {name: hints(str(section.get("type", name))) for name, section in adapters.items()}


def of_package(point: EntryPoint, name: str, file: str) -> Traversable:
    """A file of an adapter's package; ``<stem>-<name>`` where that holds several adapters."""
    package = resources.files(point.module.partition(".")[0])
    stem, _, ending = file.partition(".")
    own = package.joinpath(f"{stem}-{name}.{ending}")
    return own if own.is_file() else package.joinpath(file)


def without_links(text: str) -> str:
    """As it is read where vcond is installed: links to its other pages lead nowhere there, so it is said where those are."""
    where = "below /usr/share/doc/vcond" if is_package() else "in vcond's source"
    return _LINK.sub(rf"\1 ({where})", text)


def sinks(
    config: Config,
    *,
    clock: Callable[[], Instant],
    files: Files | None = None,
    redactor: Callable[[Path], Redacting] | None = None,
) -> list[FormedSink]:
    """The configured sinks in order, each under a name of its own, each with its content and form of a vCon. Raises ConfigError.

    ``redactor`` makes what makes redacted vCons, and keeps them in a folder; it is asked only if a sink wants them.
    """
    from vcond.redaction.redact import own_uuid  # not at the start of each command

    matches_of(config.sinks)  # so that what is wrong with them is said here, too
    made: list[FormedSink] = []
    names: set[str] = set()
    folder = Path(config.vcond.state_dir) / "forms"
    contents = [_content(section, f"sinks[{i}].content") for i, section in enumerate(config.sinks)]
    redacts = None
    if "redacted" in contents:
        finders(config.redaction)  # so that what is wrong with them is known before a vCon is to leave
        redacts = None if redactor is None else redactor(folder)
    for i, section in enumerate(config.sinks):
        at = f"sinks[{i}]"
        if "type" not in section:
            known = ", ".join(sorted(installed(SINKS)))
            raise ConfigError(f"is missing; kinds of sinks: {known}", f"{at}.type")
        point = chosen(SINKS, section["type"], f"{at}.type")
        kind, made_by = point.name, loaded(SINKS, point, f"{at}.type")
        name = section.get("name", kind)
        if not isinstance(name, str):
            raise ConfigError('must be text in quotes, as in "this"', f"{at}.name")
        if name in names:
            raise ConfigError(f"two sinks are named {name!r}; give each its own name", f"{at}.name")
        names.add(name)
        form = section.get("form", "plain")
        if form not in made_by.forms:
            why = f"the {kind} accepts unsigned vCons only" if form in FORMS else f"one of {', '.join(made_by.forms)}"
            raise ConfigError(f"{form!r} is not possible: {why}", f"{at}.form")
        own = {key: value for key, value in section.items() if key not in {"type", "form", "content", "match"}} | {
            "name": name
        }
        inner = whole(SINKS, point, made_by(convert(own, made_by.Config, at)), f"{at}.type")
        seal = None if form == "plain" else sealer(config.seal, form, clock)
        made.append(
            one := FormedSink(
                inner,
                seal=seal,
                form=form,
                folder=folder,
                domain=config.record.sip_domain,
                files=files,
                content=contents[i],
                redactor=redacts,
                redacted_uuid=own_uuid,
            )
        )
        if one.confirm_after >= config.delivery.keep_days * 86_400 > 0 or (
            one.confirm_after and not config.delivery.keep_days
        ):
            why = "must be less than delivery.keep_days: a vCon that is missed later could not be sent again"
            raise ConfigError(why, f"{at}.confirm_after")
    small = too_small(config, made)
    if small and all(sink.profile == Profile.CONSERVER for sink in made):
        why = (
            f"is {config.record.inline_limit}, but sink {small[0].name} takes {small[0].max_bytes} bytes at most "
            "(max_bytes): larger vCons would be sent without their audio, which would be kept nowhere; make it no larger "
            "than max_bytes, so that longer calls are compressed to fit"
        )
        raise ConfigError(why, "record.inline_limit")
    return made


def _content(section: Mapping[str, Any], at: str) -> Content:
    wanted = section.get("content", "full")
    if not isinstance(wanted, str) or wanted not in {"full", "redacted"}:
        raise ConfigError(f"{str(wanted)[:40]!r} is not possible: full or redacted", at)
    return "redacted" if wanted == "redacted" else "full"


def too_small(config: Config, made: Sequence[FormedSink]) -> list[FormedSink]:
    """Conservers that take less than vCons may have, the smallest first: they get larger ones without the audio."""
    found = [s for s in made if s.profile == Profile.CONSERVER and s.max_bytes < config.record.inline_limit]
    return sorted(found, key=lambda sink: sink.max_bytes)


def sealer(config: SealConfig, form: str, clock: Callable[[], Instant]) -> Callable[[bytes], bytes]:
    """Makes the signed or encrypted form. Raises ConfigError for keys that are missing, wrong, expired or do not match."""
    signer = load_seal(config)
    check_signer(signer, clock())
    recipients = [load_recipient(pem(text, "seal.recipients")) for text in config.recipients]
    if form == "encrypted" and not recipients:
        raise ConfigError(
            "must name at least one recipient: otherwise nobody can read an encrypted vCon", "seal.recipients"
        )

    def seal(body: bytes) -> bytes:
        if form == "signed":
            return bytes(signed(body, signer, clock()))
        return serialize(encrypt(sign(body, signer, clock()), recipients))

    return seal


def signs(config: SealConfig, clock: Callable[[], Instant]) -> Callable[[bytes], bytes] | None:
    """Signs anything as vCons are signed; None where ``[seal]`` has no key. Raises ConfigError, as what it returns does."""
    if not (config.key and config.certificates):
        return None
    signer = load_seal(config)
    check_signer(signer, clock())
    return lambda body: bytes(signed(body, signer, clock()))


def load_seal(config: SealConfig) -> Signer:
    """The signer of ``[seal]``. Raises ConfigError."""
    if not config.key or not config.certificates:
        raise ConfigError("a signed vCon needs seal.key and seal.certificates", "seal")
    try:
        signer = load_signer(
            pem(config.key, "seal.key"),
            pem(config.certificates, "seal.certificates"),
            algorithm=config.algorithm,
            x5u=config.x5u,
            alg_twice=config.alg_twice,
            password=config.password.encode() or None,
        )
    except ConfigError as why:
        raise ConfigError(str(why), "" if why.path else "seal") from None
    from vcond.base import metrics  # commands that convert a file have none

    metrics.certificate_expiry.labels("seal").set(signer.ends.timestamp())
    return signer


def pem(text: str, at: str) -> bytes:
    """PEM text as it is, or the file that the text names. Raises ConfigError."""
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as why:
        raise ConfigError(f"cannot read {text}: {why.strerror}", at) from None
