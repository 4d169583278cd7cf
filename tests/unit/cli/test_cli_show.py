import json
from pathlib import Path

import pytest

from vcond.base.errors import StorageError
from vcond.cli import render
from vcond.cli.admin_client import NotRunningError, ask
from vcond.cli.settings import in_force, sample
from vcond.cli.vcons import summary, validate_files
from vcond.config import load
from vcond.vcon import serialize

CALL = {
    "call": "01a2", "adapter": "asterisk", "answered": "2026-11-22T09:00:01Z", "ended": None, "seconds": 67.25,
    "paused": True, "parties": [{"name": "Rita", "tel": "", "here": True}, {"name": "", "tel": "201", "here": True}],
}  # fmt: skip


def test_a_call_in_one_line():
    (line,) = render.calls([CALL])
    assert line == "01a2  asterisk   answered 01:07.2  Rita - 201 PAUSED"
    (line,) = render.calls([{**CALL, "paused": False, "transcription": "deferred"}])
    assert line.endswith("201 (texts later)")
    assert list(render.calls([])) == ["no calls"]


def test_a_call_in_full_is_in_the_order_of_time():
    shown = list(
        render.call(
            {
                **CALL,
                "history": [
                    {"at": 0.0, "party": 0, "event": "join", "button": ""},
                    {"at": 3.0, "party": 1, "event": "keydown", "button": "5"},
                ],
                "speech": [
                    {"start": 1.0, "stop": 2.0, "party": 0, "text": "hello", "failed": ""},
                    {"start": 4.0, "stop": 5.0, "party": 1, "text": None, "failed": "deadline"},
                    {"start": 6.0, "stop": 7.0, "party": 1, "text": None, "failed": ""},
                ],
                "tracks": [{"party": 0, "codec": "L16", "rate": 8000, "spans": [[0, 2, "received"], [2, 3, "lost"]]}],
                "warnings": ["no-audio"],
            }
        )
    )
    assert shown[1:] == [
        "  00:00.0  * Rita join",
        "  00:01.0  Rita: hello",
        "  00:03.0  * 201 keydown 5",
        "  00:04.0  201: [deadline]",
        "  00:06.0  201: [waiting]",
        "  Rita: L16 8000 Hz: lost 1.0 s, received 2.0 s",
        "  warnings: no-audio",
    ]


def test_findings_say_what_to_do():
    lines = list(
        render.findings(
            [
                {"level": "ok", "what": "disk", "detail": "9 MB", "fix": ""},
                {"level": "error", "what": "ARI", "detail": "refused", "fix": "start it"},
            ]
        )
    )
    assert lines == ["ok      disk: 9 MB", "ERROR   ARI: refused", "        -> start it"]


def test_the_outbox():
    row = {"uuid": "u", "sink": "conserver", "state": "dead", "attempts": 3, "reason": "refused:403"}
    assert list(render.outbox([row])) == ["u  conserver      dead      tries 3   refused:403"]
    answered = list(render.outbox([{**row, "answer": '{"detail":\n "Invalid API Key"}'}]))
    assert answered[1] == '    answered: {"detail": "Invalid API Key"}'
    assert "everything was delivered" in next(render.outbox([]))


def test_without_a_daemon_the_socket_says_so(tmp_path: Path):
    with pytest.raises(NotRunningError, match="is vcond running"):
        ask(str(tmp_path / "none"), "calls")


def test_secrets_are_not_shown(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    file.write_text(
        '[web]\ntoken = "hush"\n[adapters.asterisk]\npassword = "hush"\n'
        '[adapters.janus]\nurl = "wss://me:hush@janus.example.com/x"\nsecrets = { "*" = "hush", "1234" = "hush" }\n'
        '[adapters.freeswitch]\nurl = "ws://127.0.0.1:1/a/${env:TOKEN}"\nvariables = ["${env:TOKEN}", "b"]\n'
        '[[sinks]]\ntype = "conserver"\nname = "c"\ntoken = "hush"\n'
    )
    rows = {row["key"]: row for row in in_force(load(file, {"VCOND_VCOND__GRACE": "3", "TOKEN": "hush"}))}
    assert "hush" not in json.dumps(rows)
    assert rows["adapters.asterisk.password"]["value"] == "(set)"
    assert rows["sinks[0].token"]["value"] == "(set)"
    assert rows["adapters.freeswitch.url"]["value"] == "(set)"
    assert rows["vcond.grace"] == {"key": "vcond.grace", "value": 3.0, "origin": "VCOND_VCOND__GRACE"}
    assert rows["vcond.drain"]["origin"] == "default"
    assert rows["adapters.janus.url"]["value"] == "wss://(set)@janus.example.com/x"
    assert rows["adapters.janus.url"]["origin"] == str(file)
    assert rows["adapters.freeswitch.url"]["origin"] == f"{file}, env TOKEN"
    assert rows["adapters.freeswitch.variables"]["origin"] == f"{file}, env TOKEN"


def test_secrets_under_names_of_the_operators_own_are_not_shown(tmp_path: Path):
    """Passwords of SIP users, PINs of rooms, keys of lists: nothing in the name of such a key says what it is."""
    file = tmp_path / "vcond.toml"
    file.write_text(
        '[hub]\ntokens = { console = "hush-hush-hush-hush" }\ningress_lists = { edge = ["hush-hush-hush-hush"] }\n'
        '[adapters.siprec]\nusers = { sbc = "hush" }\n[adapters.siprec.berlin]\nusers = { other = "hush" }\n'
        '[adapters.janus]\npins = { "1234" = "hush" }\nsecrets = { "1234" = "hush" }\n'
        '[adapters.stream]\nsecrets = { plivo = "hush" }\nwebhooks = { sinch = "a:hush" }\n'
        '[[sinks]]\ntype = "conserver"\nname = "c"\ningress_lists = ["edge"]\n'
    )
    rows = {row["key"]: row["value"] for row in in_force(load(file, {}))}
    assert "hush" not in json.dumps(rows)
    assert rows["adapters.siprec.users.sbc"] == rows["hub.ingress_lists.edge"] == "(set)"
    assert rows["sinks[0].ingress_lists"] == ["edge"], "those are names"


def test_the_sample_is_printed():
    assert sample().startswith("# vcond.toml")


def test_a_vcon_is_shown_and_judged(tmp_path: Path):
    document = {
        "vcon": "0.4.0", "uuid": "01a2029a-3286-852d-a079-acef32f9616b", "created_at": "2026-11-22T09:00:00Z",
        "parties": [{"tel": "+15551230001", "name": "Rita", "validation": "none"}],
        "dialog": [{"type": "incomplete", "start": "2026-11-22T09:00:00Z", "duration": 18, "parties": [0],
                    "disposition": "no-answer"}],
    }  # fmt: skip
    file = tmp_path / "a.vcon"
    file.write_bytes(serialize(document))
    _, lines = summary(file)
    assert lines[1] == "  party 0: Rita <+15551230001>"
    assert lines[2] == "  dialog 0: incomplete 00:18.0 parties [0] no-answer"
    rows, lines, errors = validate_files([file])
    assert (errors, rows[0]["valid"]) == (0, True)
    (tmp_path / "b.vcon").write_bytes(b"not a vcon")
    rows, lines, errors = validate_files([file, tmp_path / "b.vcon"])
    assert errors == 1
    assert [row["valid"] for row in rows] == [True, False]
    with pytest.raises(StorageError, match="cannot read"):
        validate_files([tmp_path / "none.vcon"])
