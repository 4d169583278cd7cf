"""Clocks of PBXs that step, are off, and know daylight saving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

MS = 1_000_000


def test_a_clock_that_steps_is_told(script, host):
    script.call()
    for year in ("2026", "2031", "2026"):
        script.tell("ChannelConnectedLine", channel="t1", timestamp=f"{year}-01-05T12:00:00.000+0000")
    assert {warning.code for warning in host.calls[0].state.warnings} == {"clock-stepped"}


@pytest.mark.parametrize("off", [-3600, 3600])
def test_a_pbx_whose_clock_is_an_hour_off_has_its_calls_where_they_were(script, host, off):
    script.call()
    begun = datetime.fromtimestamp(host.clock.now() / 1e9, UTC) + timedelta(seconds=off)
    for second in (1, 2, 3):
        host.clock.advance(1000 * MS - MS)
        stamp = (begun + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "+0000")
        script.tell("ChannelHold" if second % 2 else "ChannelUnhold", channel="t1", timestamp=stamp)
    (call,) = host.calls
    assert not call.state.warnings
    assert all(0 <= host.clock.now() - moment.at < 4_000 * MS for moment in call.state.history)


def test_daylight_saving_of_the_pbx_is_no_step(script, host):
    """Berlin, 2026-10-25: after 02:59:59 comes 02:00:00 again, with another offset."""
    script.call()
    for stamp in ("02:59:59.990+0200", "02:59:59.995+0200", "02:00:00.000+0100", "02:00:00.005+0100"):
        host.clock.advance(4 * MS)
        script.tell("ChannelConnectedLine", channel="t1", timestamp=f"2026-10-25T{stamp}")
    assert not host.calls[0].state.warnings
