"""``vcond doctor``: of the daemon, of a journal, of a vCon, and of all calls."""

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from vcond.base.errors import ConfigError, RefusedError
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.capture.live_feed import LiveFeed
from vcond.cli import doctor
from vcond.cli.app import app
from vcond.config import DaemonConfig
from vcond.journal import Store
from vcond.server.admin import AdminServer
from vcond.vcon import build, serialize

CALL = "01a2c3f0-0000-8000-8000-000000000001"
RATE = 8000


def at(seconds: float) -> Instant:
    return Instant(round((1_700_000_000 + seconds) * SECOND))


EVENTS = [
    ev.PartyJoined(at=at(0), party=0, key="a"),
    ev.PartyJoined(at=at(0), party=1, key="b"),
    ev.Answered(at=at(0)),
    ev.TrackOpened(at=at(0), track=0, party=0, codec="PCMU", rate=RATE),
    ev.Span(at=at(20), track=0, start=0, stop=20 * RATE, kind=ev.SpanKind.RECEIVED),
]
OPENED = ev.CallOpened(at=at(0), call=CALL, adapter="pbx", key="k", recorder="e.example.com")
COMFORT = (np.arange(20 * RATE) % 7 * 4).astype(np.int16)


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """A call of which one party was heard, with nothing but comfort noise, and that has no end."""
    store = Store(tmp_path / "state" / "journal")
    kept = store.open(OPENED)
    for event in EVENTS:
        kept.append(event)
    kept.write("0.pcm", 0, COMFORT)
    await kept.flush()
    folder = kept.folder
    kept.close()
    await store.close()
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nstate_dir = "{tmp_path}/state"\nadmin_socket = "{tmp_path}/admin"\n'
        '[adapters.pbx]\ntype = "asterisk"\npassword = "${credential:not-for-you}"\n'
    )
    return file


def vcon(*more: ev.Event):
    return build(fold([OPENED, *EVENTS, *more, ev.CallEnded(at=at(20))]), {0: COMFORT})


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


async def test_a_journal_names_what_is_missing_and_the_hint_of_its_pbx(journal: Path, config: Path):
    for name in (CALL[:8], str(journal)):
        code, said = await asyncio.to_thread(run, name, "-c", str(config))
        assert code == 1
        assert [line.split(":")[0] for line in said.splitlines() if "MISSING" in line] == [
            "  MISSING  crash", "  MISSING  comfort-noise", "  MISSING  one-way-audio",
        ]  # fmt: skip
        assert "-> rtp set debug on: packets of that phone?" in said, "of Asterisk, whatever the adapter is called"


async def test_a_journal_somewhere_else_needs_no_configuration(journal: Path, tmp_path: Path):
    code, said = await asyncio.to_thread(run, str(journal), "-c", str(tmp_path / "none"), "--json")
    assert code == 1
    assert {one["code"] for one in json.loads(said)["findings"]} == {"crash", "comfort-noise", "one-way-audio"}


def test_a_vcon_says_what_its_journal_said(tmp_path: Path):
    file = tmp_path / "a.vcon.json"
    file.write_bytes(serialize(vcon(ev.Warned(at=at(3), code="disk", text="audio that the disk did not take is lost"))))
    code, said = run(str(file), "-c", str(tmp_path / "none"))
    assert code == 1
    assert "MISSING  disk: audio that the disk did not take is lost" in said
    assert "MISSING  one-way-audio: party 1: no audio came in" in said


def test_nothing_missing_is_exit_0(tmp_path: Path):
    whole = vcon(ev.TrackOpened(at=at(0), track=1, party=1, codec="PCMU", rate=RATE),
                 ev.Span(at=at(20), track=1, start=0, stop=20 * RATE, kind=ev.SpanKind.RECEIVED))  # fmt: skip
    file = tmp_path / "a.vcon.json"
    file.write_bytes(serialize(whole))
    assert run(str(file), "-c", str(tmp_path / "none")) == (0, f"{CALL}  pbx\n  nothing is missing\n")


def test_a_vcon_of_an_earlier_vcond_has_its_notes(tmp_path: Path):
    document = vcon()
    (report,) = (one["body"] for one in document["attachments"] if one["purpose"] == doctor.PURPOSE)
    del report["findings"]
    file = tmp_path / "a.vcon.json"
    file.write_bytes(serialize(document))
    assert run(str(file), "-c", str(tmp_path / "none"))[1].endswith("  MISSING  note: party 1: no audio came in\n")


def test_a_vcon_of_others_says_nothing_of_what_is_missing(tmp_path: Path):
    document = vcon() | {"attachments": []}
    file = tmp_path / "a.vcon.json"
    file.write_bytes(serialize(document))
    with pytest.raises(ConfigError, match="no capture report"):
        doctor.examine(DaemonConfig(state_dir=str(tmp_path)), {}, str(file))


@pytest.mark.parametrize("folder", ["kept", "pending"])
def test_a_delivered_call_is_read_from_the_outbox(tmp_path: Path, folder: str):
    config = DaemonConfig(state_dir=str(tmp_path), admin_socket=str(tmp_path / "admin"))
    (tmp_path / "outbox" / folder).mkdir(parents=True)
    (tmp_path / "outbox" / folder / f"{CALL}.vcon.json").write_bytes(serialize(vcon()))
    row = doctor.examine(config, {}, CALL[:8])
    assert [one["code"] for one in row["findings"]] == ["one-way-audio"]
    with pytest.raises(RefusedError, match="name the file of its vCon"):
        doctor.examine(config, {}, "ffff")


@pytest.fixture
async def daemon(tmp_path: Path):
    finding = {"code": "tap-failed", "text": "t", "party": None, "wrong": True}
    calls = [
        {"call": CALL, "adapter": "pbx", "ended": None, "findings": [finding]},
        {"call": "02", "adapter": "pbx", "ended": "2026-11-22T09:00:01Z", "findings": []},
    ]
    file = tmp_path / "there.vcon.json"
    file.write_bytes(serialize(vcon()))

    async def findings(_):
        return {"short_of": {"disk": "12 MB free"}, "calls": calls}

    async def call(_):
        raise LookupError("no active call with this id")

    async def where(_):
        sinks = [{"sink": "f", "state": "delivered", "target": str(file)}, {"sink": "c", "state": "dead", "target": ""}]
        return {"call": CALL, "vcon": CALL, "bytes": 7, "sinks": sinks}

    reads = {"findings": findings, "call": call, "vcon": where}
    server = AdminServer(tmp_path / "admin", reads=reads, writes={}, live=LiveFeed())
    await server.start()
    yield server
    await server.close()


async def test_without_a_call_all_of_them_and_what_the_daemon_is_short_of(daemon, config: Path):
    code, said = await asyncio.to_thread(run, "-c", str(config))
    assert code == 1
    assert said.splitlines() == [
        "disk: 12 MB free", "        -> vcond status says what to do", f"{CALL}  pbx        tap-failed", "02  pbx        nothing is missing",
        "        -> vcond doctor CALL shows more",
    ]  # fmt: skip
    row = json.loads((await asyncio.to_thread(run, "-c", str(config), "--json"))[1])["calls"][0]
    assert row["findings"][0]["hint"].startswith("module show like snoop")


async def test_a_delivered_call_is_read_where_a_sink_put_it(daemon, config: Path):
    code, said = await asyncio.to_thread(run, CALL, "-c", str(config))
    assert code == 1
    assert "MISSING  one-way-audio" in said
    assert "MISSING  not-delivered: sink c does not have its vCon: dead" in said


async def test_a_daemon_of_an_earlier_version_is_not_taken_for_one_that_found_nothing(daemon, config: Path):
    async def call(_):
        return {"call": CALL, "adapter": "pbx", "ended": None}

    daemon._reads["call"] = call
    with pytest.raises(RefusedError, match="restart it"):
        await asyncio.to_thread(doctor.examine, *doctor.configured(config, needed=True), CALL)


async def test_without_a_daemon_the_journals_are_read(journal: Path, config: Path):
    code, said = await asyncio.to_thread(run, "-c", str(config))
    assert code == 1
    assert said.startswith("daemon: no daemon at")
    assert "crash, comfort-noise, one-way-audio" in said


def test_a_report_is_believed_in_nothing(tmp_path: Path):
    """What others wrote into a vCon is looked at, and no more."""
    document = vcon()
    (report,) = (one["body"] for one in document["attachments"] if one["purpose"] == doctor.PURPOSE)
    for odd in ("text", [1], [{"code": 1}], {"code": "x"}):
        report["findings"] = odd
        file = tmp_path / "a.vcon.json"
        file.write_bytes(msgspec.json.encode(document))
        with pytest.raises(ConfigError, match="no capture report"):
            doctor.examine(DaemonConfig(state_dir=str(tmp_path)), {}, str(file))
