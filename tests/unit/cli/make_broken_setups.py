"""Writes the table of docs/troubleshooting.md anew, as root: ``python tests/unit/cli/make_broken_setups.py``. Read the difference."""

from __future__ import annotations

import asyncio
import sys

from conftest import TESTS

PAGE = TESTS.parent / "docs" / "troubleshooting.md"
BEGIN, END = "<!-- broken set-ups: made by make_broken_setups.py -->", "<!-- end of broken set-ups -->"


def main() -> None:
    """Break every set-up, and write what is said of it."""
    from broken_setups import table  # conftest has said where its parts are

    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{asyncio.run(table())}\n\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
