"""Set-ups that are broken: what names cause and remedy, and stands in docs/troubleshooting.md just so."""

from __future__ import annotations

import os

import pytest
from broken_setups import BROKEN, PAGE, Broken, found, row, site


@pytest.mark.parametrize("one", BROKEN, ids=[one.title.replace("/", " ") for one in BROKEN])
async def test_a_broken_set_up_is_told_with_its_remedy(one: Broken):
    if one.as_root and os.geteuid() != 0:
        pytest.skip("root looks as another user")
    line = await found(one)
    assert line.level != "ok" or one.title == "`url` ends with `/ari`", "that is taken as it is meant"
    assert line.fix
    assert row(one, line) in PAGE.read_text("utf-8"), (
        "python tests/unit/cli/make_broken_setups.py writes the table anew"
    )


async def test_a_set_up_that_is_as_it_should_be_has_nothing_wrong():
    async with site() as here:
        told = await here.says(here.asterisk_section(), here.conserver_section(admin_token="api-token"))
        assert {line.level for line in told} == {"ok"}, told
        told = await here.says(here.freeswitch_section(), here.conserver_section(admin_token="api-token"))
        assert not [line for line in told if line.level == "error"], told


def test_the_table_has_no_line_that_nobody_makes():
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [one.title for one in BROKEN]
    assert len(BROKEN) >= 18
