"""Nothing goes of a call that is on legal hold, whoever wants it gone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from records_kit import config, edge

from vcond.base.errors import StorageError
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.capture.clock import SteadyClock
from vcond.cli.holds import lines
from vcond.records.holds import SURE, HeldError, Hold, Holds
from vcond.records.record_files import RecordFiles
from vcond.sdk.contract import Cause
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

A, B = "01a2029a-3286-852d-a079-acef32f9616b", "01a2029a-3286-852d-a079-acef32f9616c"


class Time:
    now = 1_000 * SECOND

    steady = 0


def holds(tmp_path: Path, files: Files | None = None) -> Holds:
    kept = RecordFiles(tmp_path / "holds", Hold, WholeFiles(files or Files()))
    return Holds(kept, lambda: Time.now, lambda: Time.steady)


def test_a_hold_is_there_after_a_restart_until_it_is_released_or_ends(tmp_path: Path):
    Time.now = 1_000 * SECOND
    first = holds(tmp_path)
    first.put(A, "case 7")
    first.put(B, "case 8", until=2_000 * SECOND)
    again = holds(tmp_path)
    assert [(one.call, one.reason) for one in again.all()] == [(A, "case 7"), (B, "case 8")]
    assert set(again.calls()) == {A, B}
    with pytest.raises(HeldError, match=f"call {A} is on legal hold since 1970-01-01T00:16:40Z, until it is released"):
        again.check(A)
    Time.now = 2_000 * SECOND
    assert set(again.calls()) == {A, B}
    Time.steady += SURE
    assert again.calls() == [A]
    again.check(B)
    assert again.release(A) is not None
    assert again.release(A) is None
    assert holds(tmp_path).calls() == [B], "nothing was noted of the day"


def test_a_clock_that_jumps_ahead_ends_no_hold_and_is_told_once(tmp_path: Path, capsys):
    Time.now = 1_000 * SECOND
    made = holds(tmp_path)
    made.put(A, "case 7", until=2_000 * SECOND)
    Time.now = 900_000 * SECOND
    for _ in range(3):
        Time.steady += SURE // 4
        assert made.on(A) is not None
    assert capsys.readouterr().out.count("the date of a legal hold has passed") == 1
    Time.now = 1_500 * SECOND  # somebody mended the clock
    assert made.calls() == [A]
    Time.now, Time.steady = 2_000 * SECOND, Time.steady + SURE
    assert made.calls() == [A], "a new day begins"
    Time.steady += SURE - 1
    again = holds(tmp_path)
    assert (made.calls(), again.calls()) == ([A], [A])
    Time.steady += 1
    assert (made.calls(), again.calls()) == ([], [A]), "nothing was noted of the day"
    assert made.on(A) is None
    assert capsys.readouterr().out.count("a legal hold ended") == 1
    looked_at = Holds(RecordFiles(tmp_path / "holds", Hold, WholeFiles(Files()), ours=False), lambda: Time.now)
    assert looked_at.calls() == [A]
    assert capsys.readouterr().out == ""


def over(tmp_path: Path, hours: float, *, stopped: float = 0.0) -> bool:
    """Of a run of so many hours, after so many in which vcond was stopped: whether A is held at its end, which is noted."""
    Time.now += round(stopped * 3600 * SECOND)
    Time.steady = 0  # of a machine that was started anew
    made = holds(tmp_path)
    made.calls()
    Time.now, Time.steady = Time.now + round(hours * 3600 * SECOND), round(hours * 3600 * SECOND)
    made.note()
    return bool(made.calls())


def test_a_hold_ends_though_vcond_is_restarted_every_few_hours(tmp_path: Path, capsys):
    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7", until=2_000 * SECOND)
    Time.now = 2_000 * SECOND
    assert [over(tmp_path, 8, stopped=16) for _ in range(3)] == [True, True, False]
    assert capsys.readouterr().out.count("a legal hold ended") == 1
    assert not over(tmp_path, 0, stopped=100), "it has ended"
    assert not over(tmp_path, 24 * 30)
    assert not over(tmp_path, 0, stopped=24 * 6), "that it has is noted again and again"
    assert "legal hold" not in capsys.readouterr().out


def test_what_is_noted_at_the_first_look_is_never_less_than_nothing(tmp_path: Path):
    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7", until=2_000 * SECOND)
    made = holds(tmp_path)
    made._steady = iter(range(0, 1_000, 10)).__next__
    Time.now = 2_000 * SECOND
    for _ in range(3):
        made.note()
        kept, damaged = RecordFiles(tmp_path / "holds", Hold, WholeFiles(Files())).read()
        assert (damaged, 0 <= kept[A].over < 1_000) == ({}, True)


def test_the_time_in_which_nobody_looked_counts_nothing(tmp_path: Path):
    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7", until=2_000 * SECOND)
    Time.now = 2_000 * SECOND
    assert [over(tmp_path, 1, stopped=100) for _ in range(23)] == [True] * 23
    assert not over(tmp_path, 1)


@pytest.mark.parametrize("jump", [-1.0, 24 * 7 + 1.0])
def test_a_clock_that_was_set_between_two_runs_begins_the_day_anew(tmp_path: Path, jump: float):
    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7", until=2_000 * SECOND)
    Time.now = 10_000 * SECOND
    assert over(tmp_path, 23)
    assert over(tmp_path, 23, stopped=jump)
    assert not over(tmp_path, 1)


def test_a_look_at_which_it_is_not_over_begins_the_day_anew_also_for_the_next_run(tmp_path: Path):
    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7", until=2_000 * SECOND)
    Time.now = 900_000 * SECOND  # a clock that is wrong
    assert over(tmp_path, 23)
    Time.now, Time.steady = 900_000 * SECOND + 23 * 3600 * SECOND, 0
    made = holds(tmp_path)
    wrong, Time.now = Time.now, 1_500 * SECOND
    assert made.calls() == [A], "somebody mended it"
    Time.now, Time.steady = wrong, 3600 * SECOND
    assert made.calls() == [A], "and it is wrong again, before anything was noted"
    made.note()
    Time.now += 3600 * SECOND
    assert over(tmp_path, 23)
    assert not over(tmp_path, 1)


def test_the_version_before_reads_a_hold_of_which_a_part_of_the_day_was_seen(tmp_path: Path):
    class Before(msgspec.Struct, frozen=True):
        """As it had them."""

        call: str
        reason: str
        since: int
        until: int = 0

    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7", until=2_000 * SECOND)
    Time.now = 2_000 * SECOND
    assert over(tmp_path, 8)
    kept, damaged = RecordFiles(tmp_path / "holds", Before, WholeFiles(Files())).read()
    assert (kept, damaged) == ({A: Before(A, "case 7", 1_000 * SECOND, 2_000 * SECOND)}, {})
    RecordFiles(tmp_path / "holds", Before, WholeFiles(Files())).put(A, kept[A])
    assert holds(tmp_path).on(A).over == 0


async def test_what_a_hold_kept_goes_when_it_ends_while_vcond_runs(tmp_path: Path, monkeypatch, capsys):
    async with edge(config(tmp_path)) as it:
        uuid, ended = "", False
        call = it.call()
        await it.write("hold", call=call.uuid, reason="case 7")
        call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(call.uuid, "kept"))
        uuid, journal = call.uuid, tmp_path / "state/journal" / call.uuid
        monkeypatch.setattr(it.parts.holds, "_in_force", lambda _: not ended)

        async def is_kept_back() -> bool:
            return uuid in it.parts.holding._held_back

        await it.until(is_kept_back)
        await it.parts.holding.look()
        assert journal.exists()
        ended = True

        def full(*_: object) -> None:
            raise StorageError("cannot store the legal hold: No space left on device")

        monkeypatch.setattr(it.parts.holds, "note", full)
        for _ in range(2):
            await it.parts.holding.look()
        assert capsys.readouterr().out.count("cannot note how long legal holds have been over") == 1

        async def gone() -> bool:
            return not journal.exists()

        await it.until(gone)


def test_one_whose_record_cannot_be_read_says_no_moment_and_has_one_when_it_is_put_again(tmp_path: Path):
    Time.now = 1_000 * SECOND
    holds(tmp_path).put(A, "case 7")
    (tmp_path / "holds" / f"{A}.json").write_bytes(b"{")
    made = holds(tmp_path)
    assert str(made.on(A)) == f"call {A} is on legal hold until it is released"
    assert made.put(A, "case 7").since == Time.now


def test_a_folder_that_may_not_be_read_is_not_one_without_holds(tmp_path: Path, monkeypatch):
    holds(tmp_path).put(A, "case 7")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", refused)
        patch.setattr("os.listdir", refused)
        with pytest.raises(StorageError, match="Permission denied"):
            Holds(RecordFiles(tmp_path / "holds", Hold, WholeFiles(Files()), ours=False), lambda: Time.now)


async def test_what_a_hold_keeps_stays_when_the_clock_jumps_over_its_end(tmp_path: Path):
    wall = [1_790_000_000 * SECOND]
    clock = SteadyClock(lambda: wall[0], lambda: 0)
    async with edge(config(tmp_path, delivery={"keep_days": 0}), clock) as it:
        call = it.call()
        until = rfc3339(Instant(wall[0] + 3_600 * SECOND))
        await it.write("hold", call=call.uuid, reason="case 7", until=until)
        call.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(call.uuid, "kept"))
        wall[0] += 400 * 86_400 * SECOND
        clock.anchor()
        await it.parts.outbox._call(lambda store: store.expire(2**62))
        assert await it.stage(call.uuid, "kept")
        assert [one["in_force"] for one in await it.read("holds")] == [True]


@pytest.mark.parametrize(
    ("reason", "until", "said"),
    [("", 0, "reason"), ("  ", 0, "reason"), ("x" * 1001, 0, "1000"), ("a", 5, "over already")],
)
def test_a_hold_that_holds_nothing_is_refused(tmp_path: Path, reason: str, until: int, said: str):
    with pytest.raises(ValueError, match=said):
        holds(tmp_path).put(A, reason, until)
    assert holds(tmp_path).all() == []


@pytest.mark.parametrize("damaged", [b"{", b'{"call":"a","reason":"\xff","since":1}', b'{"x":' + b"[" * 100_000])
def test_a_hold_whose_record_is_damaged_holds(tmp_path: Path, capsys, damaged: bytes):
    holds(tmp_path).put(A, "case 7")
    (tmp_path / "holds" / f"{A}.json").write_bytes(damaged)
    assert holds(tmp_path).calls() == [A]
    assert "the record of a legal hold cannot be read" in capsys.readouterr().out


def test_a_hold_that_the_disk_does_not_take_is_none_and_one_that_it_does_not_give_back_stays(tmp_path: Path):
    class Full(Files):
        full = True

        def rename(self, old: str, new: str) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            super().rename(old, new)

        def delete_one(self, path: str, *, folder: bool = False) -> bool:
            if self.full and path.endswith("json"):
                raise OSError(5, "Input/output error")
            return super().delete_one(path, folder=folder)

    disk = Full()
    made = holds(tmp_path, disk)
    with pytest.raises(StorageError, match="nothing is held"):
        made.put(A, "case 7")
    assert made.on(A) is None
    disk.full = False
    made.put(A, "case 7")
    disk.full = True
    with pytest.raises(StorageError, match="still in force"):
        made.release(A)
    assert made.on(A) is not None


async def test_what_is_held_is_kept_though_nothing_is_and_goes_when_it_is_released(tmp_path: Path):
    made = config(tmp_path, delivery={"keep_days": 0})
    async with edge(made) as it:
        call, other = it.call("held"), it.call("other")
        row = await it.write("hold", call=call.uuid[:30], reason="case 7")
        assert (row["call"], row["in_force"]) == (call.uuid, True)
        for one in (call, other):
            one.end(at=it.parts.clock.now(), cause=Cause(q850=16))
        await it.until(lambda: it.stage(other.uuid, "gone"))
        await it.until(lambda: it.stage(call.uuid, "kept"))
        assert (tmp_path / "state/journal" / call.uuid / "events.log").exists()
        with pytest.raises(HeldError):
            await it.write("erase", uuid=call.uuid)
        assert (tmp_path / "folder" / f"{call.uuid}.vcon.json").exists()
        await it.parts.outbox._call(lambda store: store.expire(2**62))
        assert await it.stage(call.uuid, "kept")
    async with edge(made) as it:  # its journal is read again, and stays
        assert [one["call"] for one in await it.read("holds")] == [call.uuid]
        await it.until(lambda: it.stage(call.uuid, "kept"))
        assert (tmp_path / "state/journal" / call.uuid).exists()
        await it.write("release", call=call.uuid[:13])
        await it.parts.outbox._call(lambda store: store.expire(2**62))
        assert await it.stage(call.uuid, "gone")

        async def journal_is_gone() -> bool:
            return not (tmp_path / "state/journal" / call.uuid).exists()

        await it.until(journal_is_gone)
        with pytest.raises(LookupError, match="not on legal hold"):
            await it.write("release", call=call.uuid)


async def test_a_call_that_takes_in_a_held_one_is_held_too(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        held, other = it.call("a"), it.call("b")
        await it.write("hold", call=held.uuid, reason="case 7")
        assert other.merge(held)

        async def both() -> bool:
            return {one["call"] for one in await it.read("holds")} == {held.uuid, other.uuid}

        await it.until(both)
        assert (tmp_path / "state/journal" / held.uuid).exists()


async def test_what_a_merge_left_of_a_held_call_is_there_after_a_restart_and_goes_when_it_is_released(tmp_path: Path):
    made = config(tmp_path)
    async with edge(made) as it:
        held, other = it.call("a"), it.call("b")
        await held.journal.flush()
        await it.write("hold", call=held.uuid, reason="case 7")
        it.parts.holds.spread = lambda *_: None  # a crash before the other one is held
        assert other.merge(held)
        await other.journal.flush()
    async with edge(made) as it:

        async def both() -> bool:
            return {one["call"] for one in await it.read("holds")} == {held.uuid, other.uuid}

        await it.until(both)
        journal = tmp_path / "state/journal" / held.uuid
        assert journal.exists()
        await it.write("release", call=held.uuid)

        async def gone() -> bool:
            return not journal.exists()

        await it.until(gone)


def test_a_hold_that_a_merge_brings_never_shortens_one_that_is_there(tmp_path: Path):
    Time.now = 1_000 * SECOND
    made = holds(tmp_path)
    short = made.put(A, "case 7", until=2_000 * SECOND)
    made.put(B, "case 8")
    made.spread(short, B)
    assert (made.on(B).until, made.on(B).reason) == (0, "case 8")
    made.put(B, "case 8", until=1_500 * SECOND)
    for _ in range(2):
        made.spread(short, B)
        assert (made.on(B).until, made.on(B).reason) == (2_000 * SECOND, "case 8; case 7")
    assert holds(tmp_path).on(B) == made.on(B)


def test_a_hold_that_a_merge_brings_has_a_day_of_its_own(tmp_path: Path):
    Time.now, Time.steady = 1_000 * SECOND, 0
    made = holds(tmp_path)
    made.put(A, "case 7", until=2_000 * SECOND)
    made.put(B, "case 8", until=1_500 * SECOND)
    Time.now, Time.steady = 1_600 * SECOND, SURE
    assert made.on(B) is not None  # its day begins
    Time.now, Time.steady = 2_000 * SECOND, 2 * SURE
    assert (made.on(A) is not None, made.on(B)) == (True, None)
    made.spread(made.all()[0], B)
    assert made.on(B) is not None, "it ended at once, by the day of the one before"
    Time.steady += SURE - 1
    assert set(made.calls()) == {A, B}
    Time.steady += 1
    assert made.on(A) is None


async def test_a_merge_on_a_full_disk_holds_nevertheless_and_says_so(tmp_path: Path, monkeypatch, capsys):
    async with edge(config(tmp_path)) as it:
        held, other = it.call("a"), it.call("b")
        await it.write("hold", call=held.uuid, reason="case 7")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(it.parts.holds._files, "put", full)
        assert other.merge(held)

        async def is_held() -> bool:
            return it.parts.holds.on(other.uuid) is not None

        await it.until(is_held)

        async def is_said() -> bool:
            return not it.parts.holding._spreading

        await it.until(is_said)
        assert "it is held until the next start" in capsys.readouterr().out


async def test_what_was_never_here_cannot_be_held(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        with pytest.raises(LookupError, match="no call and no vCon"):
            await it.write("hold", call=A, reason="case 7")
        uuid = await it.ended()
        with pytest.raises(ValueError, match="over already"):
            await it.write("hold", call=uuid, reason="case 7", until="2020-01-01T00:00:00Z")
        with pytest.raises(ValueError, match=r"until must be a date with an offset, as in .*: 'Friday'"):
            await it.write("hold", call=uuid, reason="case 7", until="Friday")
        assert await it.read("holds") == []


def test_holds_are_told():
    row = {"call": A, "reason": "case 7", "since": rfc3339(Instant(0)), "until": "", "in_force": True}
    assert list(lines([row])) == [f"{A}  held      since 1970-01-01T00:00:00Z  case 7"]
    assert list(lines([])) == ["no call is on legal hold"]
