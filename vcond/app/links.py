"""The links of a hub's configuration, made from the plug-ins that are installed. Decision 0056."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from vcond.app.installed import chosen, loaded
from vcond.base.errors import ConfigError, VcondError
from vcond.config import Config
from vcond.config.schema import LinkRule
from vcond.publish.link_sink import Keep, LinkSink
from vcond.sdk.link import GROUP as LINKS
from vcond.sdk.link import LinkOptions


def rules(config: Config) -> list[LinkRule]:
    """Those of the configuration, each with a name. Raises ConfigError for what cannot be."""
    if config.links and not config.hub.listen:
        raise ConfigError("only a hub has links: remove them, or set hub.listen", "links")
    made: list[LinkRule] = []
    for i, one in enumerate(config.links):
        rule, at, before = (
            msgspec.structs.replace(one, name=one.name or one.type),
            f"links[{i}]",
            [r.name for r in made],
        )
        if rule.name in before:
            raise ConfigError(f"two links are named {rule.name!r}; give each its own name", f"{at}.name")
        if rule.after and rule.after not in before:
            raise ConfigError(
                f"no link {rule.after!r} stands before it; there are: {', '.join(before) or 'none'}", f"{at}.after"
            )
        if rule.seconds >= config.delivery.attempt_timeout:
            why = f"must be less than delivery.attempt_timeout ({config.delivery.attempt_timeout:g})"
            raise ConfigError(why, f"{at}.seconds")
        made.append(rule)
    return made


def links(config: Config, keep: Callable[[], Keep]) -> list[LinkSink]:
    """Made, in the order of the configuration. Raises ConfigError, or MissingExtraError for one that lacks its packages."""
    return [_made(config, rule, f"links[{i}]", keep) for i, rule in enumerate(rules(config))]


def _made(config: Config, rule: LinkRule, at: str, keep: Callable[[], Keep]) -> LinkSink:
    point = chosen(LINKS, rule.type, f"{at}.type")
    options = LinkOptions(rule.settings, msgspec.to_builtins(config.redaction))
    try:
        loaded(LINKS, point, f"{at}.type")(options)
    except ConfigError as why:
        raise ConfigError(why.message, f"{at}.settings" if why.path == "settings" else why.path or at) from None
    except VcondError:
        raise
    except Exception as why:  # noqa: BLE001 - whatever the class of somebody else does
        raise ConfigError(f"link {rule.type!r} cannot be made ({type(why).__name__}): ask its author", at) from None
    return LinkSink(rule.name, point.value, options, seconds=rule.seconds, most=config.hub.max_bytes, keep=keep)
