"""Which ``[[policy]]`` a call matches: the first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vcond.call.matching import matches
from vcond.call.state import Call
from vcond.config.schema import PolicyRule
from vcond.policy.consent import Terms


class Rules:
    """The configured rules."""

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        self._rules = [
            (rule.match, Terms(**{name: getattr(rule, name) for name in Terms.__struct_fields__})) for rule in rules
        ]

    def terms_of_call(self, call: Call) -> Terms | None:
        """What the first rule says that a call matches; None without one."""
        return next((terms for match, terms in self._rules if matches(match, call)), None)
