"""What there is of a call goes when its rule says so, place by place, and not before, and never what is on hold."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from records_kit import config, edge

from vcond.app import retention as of_configuration
from vcond.base.errors import ConfigError
from vcond.base.time import SECOND
from vcond.capture.clock import SteadyClock
from vcond.cli.retention import plan_lines
from vcond.records.retention import DAY, Keep, Kept, due
from vcond.sdk.contract import Cause
from vcond.sdk.sink import Retry

RULE = {
    "name": "all",
    "match": {"adapter": "test"},
    "keep": {"edge": 2, "media": 10, "sinks": {"archive": 30}},
}


class Wall:
    """A clock that is moved by hand, by which time passes evenly unless it jumps."""

    def __init__(self) -> None:
        self.wall = self.steady = 1_795_339_662 * SECOND

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.steady)

    def days(self, many: float) -> None:
        self.wall += round(many * DAY)
        self.steady += round(many * DAY)


def made(root: Path, *rules: dict, **more):
    (root / "media").mkdir(exist_ok=True)
    more = {"record": {"media_dir": str(root / "media")}, "delivery": {"keep_days": 7}, **more}
    return config(root, "archive", "other", retention=list(rules or (RULE,)), **more)


def named(root: Path, uuid: str) -> list[Path]:
    return [path for path in root.rglob("*") if uuid in path.name]


def places(rows):
    return sorted(row["place"] for row in rows)


async def test_each_place_has_its_days_and_the_plan_says_what_goes(tmp_path: Path, monkeypatch):
    wall = Wall()
    async with edge(made(tmp_path), wall.clock()) as it:
        monkeypatch.setattr(it.parts.retention, "_doubted", lambda: False)
        call, held = await it.ended("a"), await it.ended("b")
        for one in (call, held):
            (tmp_path / "media" / one).mkdir()
            (tmp_path / "media" / one / "call.wav").write_bytes(b"x")
        await it.write("hold", call=held, reason="case 7")
        assert await it.read("retention") == []
        assert await it.parts.retention.sweep() == 0
        assert places(row for row in await it.read("retention", days="11") if not row["held"]) == ["edge", "media"]
        wall.days(3)
        rows = await it.read("retention")
        assert [(row["place"], row["vcon"], row["held"]) for row in rows] == [
            ("edge", call, False),
            ("edge", held, True),
        ]
        assert rows[0]["why"] == "rule all: 2 days"
        assert await it.parts.retention.sweep() == 1
        assert await it.stage(call, "gone")
        assert await it.stage(held, "kept")
        assert (tmp_path / "archive" / f"{call}.vcon.json").exists()
        wall.days(8)
        assert await it.parts.retention.sweep() == 1
        assert not (tmp_path / "media" / call).exists()
        assert (tmp_path / "media" / held / "call.wav").exists()
        wall.days(30)
        assert await it.parts.retention.sweep() == 1
        assert not (tmp_path / "archive" / f"{call}.vcon.json").exists()
        assert (tmp_path / "archive" / f"{held}.vcon.json").exists()
        assert (tmp_path / "other" / f"{call}.vcon.json").exists(), "no rule names it"
        assert await it.parts.retention.sweep() == 0, "once is enough"
        await it.write("release", call=held)
        assert await it.parts.retention.sweep() == 3
        told = await it.parts.records.ask(lambda ledger, _index: ledger.rows(sink="archive"))
        assert [row["vcon"] for row in told if row["event"] == "vcon_deleted"] == [call, held]
        assert (await it.write("erase", uuid=call))["sinks"]["other"] == ""
        told = await it.parts.records.ask(lambda ledger, _index: ledger.rows(sink="other"))
        assert (told[-1]["event"], told[-1]["vcon"]) == ("vcon_deleted", call)


async def test_a_sink_that_does_not_forget_is_asked_by_the_next_sweep(tmp_path: Path, monkeypatch, capsys):
    wall = Wall()
    async with edge(made(tmp_path), wall.clock()) as it:
        monkeypatch.setattr(it.parts.retention, "_doubted", lambda: False)
        call = await it.ended()
        (sink,) = [worker.sink._sink for worker in it.parts.outbox._workers if worker.sink.name == "archive"]
        erase, down = sink.erase, True

        async def flaky(uuid: str):
            if down:
                raise Retry("unreachable")
            return await erase(uuid)

        monkeypatch.setattr(sink, "erase", flaky)
        wall.days(31)
        assert await it.parts.retention.sweep() == 1, "its file here"
        await it.parts.retention.sweep()
        assert capsys.readouterr().out.count("retention cannot delete something") == 1
        down = False
        assert await it.parts.retention.sweep() == 1
        assert not (tmp_path / "archive" / f"{call}.vcon.json").exists()


async def test_when_the_first_lawful_basis_ends_the_whole_conversation_is_forgotten(tmp_path: Path, monkeypatch):
    wall = Wall()
    basis = {
        "lawful_basis": "consent", "expiration": "2026-12-24T00:00:00Z", "proof_mechanisms": [],
        "purpose_grants": [{"purpose": "recording", "granted": True, "granted_at": "2026-11-20T00:00:00Z"}],
    }  # fmt: skip
    record = {"lawful_basis": basis, "media_dir": str(tmp_path / "media")}
    async with edge(made(tmp_path, RULE, record=record), wall.clock()) as it:
        monkeypatch.setattr(it.parts.retention, "_doubted", lambda: False)
        call = await it.ended()
        wall.days(40)
        (row,) = await it.read("retention")
        assert (row["place"], row["why"], row["due"]) == (
            "everywhere",
            "its lawful basis has ended",
            "2026-12-24T00:00:00Z",
        )
        assert await it.parts.retention.sweep() == 1
        assert named(tmp_path, call) == []
        assert await it.entry(call) is None


async def test_a_clock_that_jumps_deletes_nothing_for_a_day(tmp_path: Path, capsys):
    wall = Wall()
    async with edge(made(tmp_path), wall.clock()) as it:
        await it.ended()
        assert await it.parts.retention.sweep() == 0
        wall.wall += 400 * DAY  # without time passing
        wall.steady += 400 * DAY
        assert await it.parts.retention.sweep() == 0
        assert "the system clock jumped: retention deletes nothing" in capsys.readouterr().out
        assert len(await it.read("retention")) == 2, "what would go is told"
        assert await it.parts.retention.sweep() == 0
        it.parts.retention._doubt = 0.0
        assert await it.parts.retention.sweep() == 2


@pytest.mark.parametrize(("days", "doubted"), [(400, True), (-1, True), (6, False)])
async def test_a_clock_that_was_wrong_before_the_start_deletes_nothing_for_a_day(tmp_path: Path, capsys, days, doubted):
    wall = Wall()
    async with edge(made(tmp_path), wall.clock()) as it:
        await it.ended()
    wall.days(days)
    async with edge(made(tmp_path), wall.clock()) as it:
        assert await it.parts.retention.sweep() == (0 if doubted else 1)
        assert ("the system clock are far apart" in capsys.readouterr().out) is doubted
        it.parts.retention._doubt = 0.0
        # after 400 days the outbox, by itself, may have removed the file already
        assert (await it.parts.retention.sweep() > 0) is (days == 400)


async def test_a_journal_that_nobody_needs_goes_and_one_whose_vcon_a_sink_lacks_stays(tmp_path: Path, monkeypatch):
    wall = Wall()
    rule = {"name": "all", "keep": {"journal": 1}}
    async with edge(made(tmp_path, rule), wall.clock()) as it:
        monkeypatch.setattr(it.parts.retention, "_doubted", lambda: False)
        monkeypatch.setattr(it.parts.store, "remove", lambda uuid: None)  # as of a recording that is in no vCon
        call = await it.ended("a")
        monkeypatch.undo()
        monkeypatch.setattr(it.parts.retention, "_doubted", lambda: False)
        sink = it.parts.outbox._workers[0].sink._sink

        async def down(record):
            raise Retry("unreachable")

        monkeypatch.setattr(sink, "deliver", down)
        waits = it.call("b")
        waits.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(waits.uuid, "open"))
        wall.days(2)
        assert [(row["place"], row["call"]) for row in await it.read("retention")] == [("journal", call)]
        assert await it.parts.retention.sweep() == 1
        assert not (tmp_path / "state/journal" / call).exists()
        assert (tmp_path / "state/journal" / waits.uuid).exists()


def kept(**more) -> Kept:
    return Kept(
        **{
            "seq": 1,
            "uuid": "u",
            "call": "c",
            "made_at": 0,
            "stage": "kept",
            "rule": "r",
            "expires": "",
            "had": {},
            **more,
        }
    )


def test_what_is_due_of_one_vcon():
    keep = Keep(edge=1, sinks={"a": 2, "gone": 2})
    there = {"media": True, "journal": True, "sinks": ("a",)}
    assert due(kept(), keep, DAY - 1, **there) == []
    assert [one.place for one in due(kept(), keep, DAY, **there)] == ["edge"]
    had = {"a": "", "gone": "", "other": ""}
    assert [one.sink for one in due(kept(had=had, stage="open"), keep, 9 * DAY, **there)] == ["a"]
    assert due(kept(had={"a": "erased"}, stage="gone"), keep, 9 * DAY, **there) == []
    assert due(kept(expires="no date"), None, 9 * DAY, **there) == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([RULE, RULE], "two rules are named 'all'"),
        ([{"name": "x", "keep": {"edge": 8}}], "more than delivery.keep_days"),
        ([{"name": "x", "keep": {"sinks": {"nowhere": 1}}}], "there is no sink 'nowhere'; there are: archive, other"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(tmp_path: Path, rules, said: str):
    with pytest.raises(ConfigError, match=said):
        of_configuration.check(made(tmp_path, *rules))
    with pytest.raises(ConfigError, match="media_dir is not set"):
        of_configuration.check(made(tmp_path, RULE, record={}))
    with pytest.raises(msgspec.ValidationError):
        made(tmp_path, {"name": "x", "keep": {"edge": -1}})


def test_a_plan_for_people():
    row = {"due": "2026-12-24T00:00:00Z", "place": "edge", "vcon": "u", "why": "rule all: 2 days", "held": True}
    assert list(plan_lines([row])) == [
        "2026-12-24T00:00:00Z  edge                 u  rule all: 2 days  ON LEGAL HOLD: stays"
    ]
    assert list(plan_lines([])) == ["nothing is due"]
    assert len(list(plan_lines([row] * 1001))) == 1001


def test_what_a_sweep_is_killed_in_is_done_by_the_next(tmp_path: Path, monkeypatch):
    """Between the file and the row, and between the sink and the row."""

    async def main() -> None:
        wall = Wall()
        async with edge(made(tmp_path), wall.clock()) as it:
            monkeypatch.setattr(it.parts.retention, "_doubted", lambda: False)
            call = await it.ended()
            wall.days(31)
            tell = it.parts.retention._tell

            async def killed(what: str, change):
                if what.startswith("note"):
                    raise asyncio.CancelledError
                return await tell(what, change)

            monkeypatch.setattr(it.parts.retention, "_tell", killed)
            with pytest.raises(asyncio.CancelledError):
                await it.parts.retention.sweep()
            monkeypatch.setattr(it.parts.retention, "_tell", tell)
            assert not (tmp_path / "archive" / f"{call}.vcon.json").exists()
            assert await it.parts.retention.sweep() == 1
            assert await it.parts.retention.sweep() == 0

    asyncio.run(main())
