from __future__ import annotations

from vcond.demo.call import FRAME, Person, Recording, Turn, demo_call
from vcond.demo.summary import scores, summary, turns

PEOPLE = (Person("caller", "Rita"), Person("agent", "Marcus"))


def segment(party: int, start: float, end: float, text: str) -> dict:
    return {"id": 0, "start": start, "end": end, "text": text, "confidence": 0.9, "speaker": party}


def document(**more: object) -> dict:
    seconds = {
        "received": 10.5,
        "silent": 29.5,
        "lost": 0.0,
        "concealed": 0.0,
        "held": 0.0,
        "paused": 0.0,
        "absent": 0.0,
    }
    return {
        "subject": "Inbound call",
        "parties": [
            {"name": "Rita", "tel": "+12025550142"},
            {"name": "Marcus\x1b[2J"},
            {"type": "bot", "name": "vcond"},
        ],
        "analysis": [
            {"type": "transcript", "body": {}},
            {
                "type": "wtf_transcription",
                "body": {
                    "segments": [segment(1, 0.5, 2.25, "Good morning."), segment(0, 62, 64, "Please press 1.")],
                },
            },
        ],
        "attachments": [
            {"purpose": "tags", "body": []},
            {
                "purpose": "vcond-capture-report",
                "body": {
                    "duration": 75.0,
                    "parties": [{"party": n, "seconds": dict(seconds)} for n in range(2)],
                    "notes": ["3 utterances not transcribed: no engine"],
                },
            },
        ],
        **more,
    }


def recording(*said: tuple[int, str]) -> Recording:
    made = tuple(Turn(party, 0, 1, text, ()) for party, text in said)
    return Recording("t", PEOPLE, (b"\xff" * FRAME,) * 2, (), made)


def test_turns_are_in_order_of_time() -> None:
    body = document()["analysis"][1]["body"]
    body["segments"].reverse()
    made = document(analysis=[{"type": "wtf_transcription", "body": body}])
    assert [(turn.party, turn.text) for turn in turns(made)] == [(1, "Good morning."), (0, "Please press 1.")]


def test_the_demo_call_itself_would_be_a_perfect_transcript() -> None:
    call = demo_call()
    body = {"segments": [segment(t.party, t.start, t.end, t.text) for t in call.turns]}
    made = document(analysis=[{"type": "wtf_transcription", "body": body}])
    assert [one.share for one in scores(made, call)] == [1, 1]


def test_each_party_is_judged_by_its_own_words() -> None:
    caller, agent = scores(document(), recording((0, "Good morning."), (1, "Please press one."), (0, "Yes. Please.")))
    assert (caller.spoken, caller.right) == (4, 1)
    assert (agent.spoken, agent.right) == (3, 0)


def test_summary_shows_parties_seconds_turns_and_accuracy() -> None:
    lines = list(summary(document(), recording((1, "Good morning."), (0, "Please press one.")), 123_456))
    text = "\n".join(lines)
    assert lines[0] == "Inbound call, 1:15, vCon of 123 kB"
    assert "received     silent       lost" in lines[1]
    assert "held" not in lines[1]
    assert lines[2].split() == ["Rita", "+12025550142", "10.50", "s", "29.50", "s", "0.00", "s"]
    assert "   0:00 -  0:02  Marcus [2J  Good morning." in lines
    assert "   1:02 -  1:04  Rita        Please press 1." in lines
    assert "Rita         3 of 3    100.0%" in text
    assert "\x1b" not in text
    assert "bot" not in text


def test_kinds_of_time_that_occur_are_shown() -> None:
    made = document()
    made["attachments"][1]["body"]["parties"][1]["seconds"]["held"] = 4.0
    assert "held" in list(summary(made, recording(), 1))[1]


def test_a_call_of_the_users_own_is_not_judged() -> None:
    assert scores(document(), recording()) == []
    assert not any("spoken" in line for line in summary(document(), recording(), 1))


def test_without_a_transcript_the_reason_is_shown() -> None:
    lines = list(summary(document(analysis=[]), recording(), 1))
    assert lines[-1] == "no transcript; 3 utterances not transcribed: no engine"


def test_a_document_with_next_to_nothing_is_summed_up() -> None:
    assert next(iter(summary({}, recording(), 0))) == "Call, 0:00, vCon of 0 kB"
