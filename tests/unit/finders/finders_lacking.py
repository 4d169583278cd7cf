"""A plug-in that needs a package which is nowhere."""

import nowhere_at_all  # noqa: F401 - that it cannot be imported is all
