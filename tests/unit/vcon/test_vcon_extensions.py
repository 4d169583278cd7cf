from __future__ import annotations

import pytest

from vcond.vcon.building.extensions import used


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({}, []),
        (
            {"parties": [{"tel": "+15551230001"}], "dialog": [{"type": "text"}], "attachments": [{"purpose": "tags"}]},
            [],
        ),
        ({"parties": [{"role": "agent"}]}, ["CC"]),
        ({"parties": [{"sip_contact": "x"}]}, ["sip-signaling"]),
        ({"dialog": [{"skill": "x"}]}, ["CC"]),
        ({"dialog": [{"sip_call_id": "x"}]}, ["sip-signaling"]),
        ({"analysis": [{"type": "wtf_transcription"}]}, ["wtf_transcription"]),
        ({"attachments": [{"purpose": "sip-headers"}]}, ["sip-signaling"]),
        ({"attachments": [{"purpose": "lawful_basis"}]}, ["lawful_basis"]),
        ({"parties": "x", "dialog": [1], "analysis": None, "attachments": [{"purpose": ["sip-headers"]}]}, []),
        (
            {
                "dialog": [{"sip_cseq": 1, "campaign": "x"}],
                "analysis": [{"type": "wtf_transcription"}],
                "attachments": [{"purpose": "lawful_basis"}],
            },
            ["wtf_transcription", "lawful_basis", "sip-signaling", "CC"],
        ),
    ],
    ids=range(11),
)
def test_what_is_used_is_seen_in_the_document(document, names):
    assert used(document) == names
