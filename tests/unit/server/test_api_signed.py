"""A vCon is had signed where there is a key to sign with; who agreed to what is on live calls."""

import json
from pathlib import Path

import pytest
from api_kit import ZERO, daemon
from cryptography.hazmat.primitives.asymmetric import ec
from pki import entity

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.server.api import records as records_module
from vcond.vcon.sealing.keys import load_trust
from vcond.vcon.sealing.verify import open_signed

LISTEN = 'listen = "127.0.0.1:0"'
POLICY = """
[[policy]]
mode = "ask"
"""


def seal(root: Path, until: int = 365):
    """What is said in the configuration, and the authority."""
    authority = entity("authority", authority=True)
    leaf = entity("edge", authority, key=ec.generate_private_key(ec.SECP256R1()), usage=True, days=(-10, until))
    (root / "key.pem").write_bytes(leaf.key_pem)
    (root / "chain.pem").write_bytes(leaf.pem + authority.pem)
    said = f'\n[seal]\nalgorithm = "ES256"\nkey = "{root}/key.pem"\ncertificates = "{root}/chain.pem"'
    return LISTEN + said, authority


async def test_the_signed_form_holds_the_very_bytes_and_who_reads_it_is_written_down(tmp_path: Path):
    config, authority = seal(tmp_path)
    async with daemon(tmp_path, config) as one:
        uuid = await one.vcon("plain")
        _, headers, body = await one.asked(f"/vcons/{uuid}/signed", "read")
        assert headers["Content-Disposition"] == f'attachment; filename="{uuid}.signed.vcon.json"'
        opened = open_signed(json.loads(body), load_trust(authority.pem), Instant(ZERO))
        assert opened.payload == (await one.asked(f"/vcons/{uuid}", "read"))[2]
        assert (await one.told("/status", "watch"))["signs"] is True
        assert [(row["what"], row["of"]) for row in one.accesses()] == [("vcon", uuid)] * 2


async def test_without_a_key_there_is_none_and_it_says_what_to_set(tmp_path: Path):
    async with daemon(tmp_path) as one:
        status, _, body = await one.asked(f"/vcons/{await one.vcon('plain')}/signed", "read")
        assert (status, b"seal.key" in body) == (404, True)
        assert (await one.told("/status", "watch"))["signs"] is False
        assert one.accesses() == []


async def test_with_a_certificate_that_has_expired_since_nothing_is_given(tmp_path: Path):
    config, _ = seal(tmp_path, 1)
    async with daemon(tmp_path, config) as one:
        uuid = await one.vcon("plain")
        one.time[0] += 3 * 86_400 * 10**9
        status, _, body = await one.asked(f"/vcons/{uuid}/signed", "read")
        assert (status, b"expired" in body) == (503, True)


async def test_signed_forms_in_memory_are_bounded(tmp_path: Path, monkeypatch):
    config, _ = seal(tmp_path)
    async with daemon(tmp_path, config) as one:
        uuid = await one.vcon("plain")
        size = len((await one.asked(f"/vcons/{uuid}", "read"))[2])
        monkeypatch.setattr(records_module, "MOST_OPEN", 2 * size)
        assert (await one.asked(f"/vcons/{uuid}/signed", "read"))[0] == 429


@pytest.mark.parametrize("role", ["watch", "read"])
async def test_a_live_call_says_who_agreed_to_what_and_whether_their_voice_is_kept(tmp_path: Path, role: str):
    async with daemon(tmp_path, LISTEN + POLICY) as one:
        call, token = one.call(ev.PartyInfo(name="Ann"), ev.PartyInfo(name="Ben")), await one.token("watch", role)
        call.emit(
            ev.Consent(
                at=one.at(1),
                party=0,
                state="granted",
                how="operator",
                purposes=("recording", "transcription", "analysis"),
            )
        )
        call.emit(ev.Consent(at=one.at(1), party=1, state="denied", how="operator", purposes=("recording",)))
        async with one.client.get("/api/v1/calls", headers={"Authorization": f"Bearer {token}"}) as answer:
            (row,) = await answer.json()
        assert row["consent"] == [
            {"party": 0, "rule": "ask", "kept": True, "text": True, "recording": "granted", "transcription": "granted", "analysis": "granted"},
            {"party": 1, "rule": "ask", "kept": False, "text": False, "recording": "denied", "transcription": "unknown", "analysis": "unknown"},
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "state", "purpose", "told"),
    [
        ("ask", "asked", "recording", ("ask", False, False)), ("ask", "granted", "recording", ("ask", True, False)),
        ('ask"\nuntil_granted = "keep', "asked", "recording", ("ask", True, True)),
        ('ask"\nuntil_granted = "keep', "denied", "transcription", ("ask", True, False)),
        ("announce", "asked", "recording", ("announce", True, False)), ("record", "denied", "recording", ("record", True, True)),
        ("never", "granted", "recording", ("never", False, False)),
    ],
)  # fmt: skip
async def test_whether_audio_and_words_are_kept_is_told_beside_what_was_said(
    tmp_path: Path, rule, state, purpose, told
):
    async with daemon(tmp_path, f'{LISTEN}\n[[policy]]\nmode = "{rule}"') as one:
        call = one.call(ev.PartyInfo(name="Ann"))
        call.emit(ev.Consent(at=one.at(1), party=0, state=state, how="operator", purposes=(purpose,)))
        (row,) = (await one.told(f"/calls/{call.uuid}", "watch"))["consent"]
        assert (row["rule"], row["kept"], row["text"]) == told
        assert row[purpose] == state


async def test_without_rule_or_word_nothing_is_said_of_consent(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ev.PartyInfo(name="Ann"))
        assert (await one.told(f"/calls/{call.uuid}", "watch"))["consent"] == []
