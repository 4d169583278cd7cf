"""For authors of plug-ins: a host in memory, time that jumps, rigs to fill in, and the suites that plug-ins pass."""

import pytest

# Else pytest says of what fails in a suite that runs for a package of its own only ``AssertionError``, without a value.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("checks", "conformance", "engines", "session", "sinks"))
)
