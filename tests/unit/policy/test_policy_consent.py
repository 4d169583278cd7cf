"""Whose voice may be kept: the rules, without a call."""

import msgspec
import pytest

from vcond.base.errors import ConfigError
from vcond.config.load import convert
from vcond.config.schema import Config
from vcond.policy.consent import (
    LONGEST_NAME,
    LONGEST_VALUE,
    MOST_EVIDENCE,
    Terms,
    Verdict,
    bounded,
    by_key,
    by_words,
    check_evidence,
    follows,
    meant_by,
    verdict,
)

ASK = Terms(mode="ask", until_granted="buffer")
KEEP, BUFFER, NOTHING = Verdict.KEEP, Verdict.BUFFER, Verdict.NOTHING


@pytest.mark.parametrize(
    ("terms", "unknown", "asked", "granted", "refused"),
    [
        (None, KEEP, KEEP, KEEP, NOTHING),
        (Terms(), KEEP, KEEP, KEEP, KEEP),
        (Terms(mode="never"), NOTHING, NOTHING, NOTHING, NOTHING),
        (Terms(mode="announce"), NOTHING, KEEP, KEEP, NOTHING),
        (Terms(mode="ask"), NOTHING, NOTHING, KEEP, NOTHING),
        (Terms(mode="ask", until_granted="keep"), KEEP, KEEP, KEEP, NOTHING),
        (ASK, BUFFER, BUFFER, KEEP, NOTHING),
    ],
)
def test_what_becomes_of_a_voice(terms, unknown, asked, granted, refused):
    states = {"unknown": unknown, "asked": asked, "granted": granted, "denied": refused, "withdrawn": refused}
    assert {state: verdict(terms, "recording", state) for state in states} == states


def test_a_machine_and_who_is_exempt_need_none_but_may_refuse():
    assert verdict(ASK, "recording", "unknown", needs_none=True) is KEEP
    assert verdict(ASK, "recording", "denied", needs_none=True) is NOTHING
    assert verdict(Terms(mode="never"), "recording", "unknown", needs_none=True) is NOTHING


def test_a_purpose_that_is_not_asked_for_has_another_basis():
    texts = Terms(mode="ask", purposes=("transcription",))
    assert (verdict(texts, "recording", "unknown"), verdict(texts, "transcription", "unknown")) == (KEEP, NOTHING)


def test_asking_again_takes_back_no_answer_and_the_same_word_is_no_news():
    assert follows("unknown", "asked")
    assert not any(follows(now, "asked") for now in ("asked", "granted", "denied", "withdrawn"))
    assert not any(follows(now, now) for now in ("asked", "granted", "denied", "withdrawn"))
    assert follows("granted", "withdrawn")
    assert follows("denied", "granted")
    assert not follows("denied", "withdrawn")


def test_keys_answer():
    keys = Terms(mode="ask", key_granted="1", key_denied="2", key_withdrawn="9")
    for now in ("unknown", "asked"):
        answers = [by_key(keys, button, now) for button in ("1", "2", "9", "3", "")]
        assert answers == ["granted", "denied", "denied", None, None]
    assert [by_key(keys, button, "granted") for button in ("1", "2", "9", "")] == [None, None, "withdrawn", None]
    assert not any(by_key(keys, button, now) for button in ("1", "2", "9") for now in ("denied", "withdrawn"))
    assert by_key(None, "1", "unknown") is None
    assert by_key(Terms(mode="ask"), "1", "unknown") is None
    assert by_key(Terms(mode="ask"), "", "granted") is None


def test_a_word_that_names_no_purpose_agrees_to_what_was_asked_for_and_refuses_all():
    said = ("asked", "granted", "denied", "withdrawn")
    ours, everything = ("recording", "transcription"), ("recording", "transcription", "analysis")
    assert [meant_by(None, one) for one in said] == [ours, ours, everything, everything]
    assert [meant_by(Terms(mode="ask"), one) for one in said] == [ours, ours, everything, everything]
    texts = Terms(mode="ask", purposes=("transcription", "analysis"))
    assert [meant_by(texts, one) for one in said] == [texts.purposes, texts.purposes, everything, everything]


def test_evidence_is_bounded_and_too_much_of_it_is_named():
    large = {"text": "x" * (1 << 20), "n" * 100: "v", **{f"k{i}": "v" for i in range(100)}}
    cut = bounded(large)
    assert len(cut) == MOST_EVIDENCE
    assert len(cut["text"]) == LONGEST_VALUE
    assert max(map(len, cut)) == LONGEST_NAME
    with pytest.raises(ValueError, match=r"evidence\.text"):
        check_evidence({"text": "x" * (1 << 20)})
    with pytest.raises(ValueError, match="at most 16"):
        check_evidence({str(i): "" for i in range(17)})
    check_evidence(cut)


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ([{"mode": "record", "until_granted": "buffer"}], "until_granted"),
        ([{"mode": "record", "key_granted": "1"}], "key_granted"),
        ([{"mode": "never", "withdrawn": "take_back"}], "withdrawn"),
        ([{"mode": "ask", "key_granted": "1", "key_denied": "1"}], "key_denied"),
        ([{"mode": "ask", "key_granted": "1", "key_withdrawn": "1"}], "key_withdrawn"),
        ([{"mode": "ask", "until_granted": "keep", "buffer_seconds": 60}], "buffer_seconds"),
        ([{"mode": "ask", "until_granted": "buffer", "purposes": ["transcription"]}], "purposes"),
        ([{"mode": "ask", "purposes": []}], "purposes"),
        ([{"mode": "ask", "purposes": ["recording", "recording"]}], "purposes"),
        ([{"pause_keys": "5"}], "pause_keys"),
        ([{"pause_keys": "*a"}], "pause_keys"),
        ([{"pause_keys": "123456789"}], "pause_keys"),
        ([{"resume_keys": "*2"}], "resume_keys needs pause_keys"),
        ([{"pause_keys": "*1", "resume_keys": "*1"}], "pause_keys and resume_keys"),
        ([{"pause_keys": "*1", "resume_keys": "*12"}], "pause_keys and resume_keys"),
        ([{"mode": "ask", "key_granted": "1", "pause_keys": "*1"}], "key_granted"),
        ([{"mode": "ask", "key_withdrawn": "2", "pause_keys": "*1", "resume_keys": "*2"}], "key_withdrawn"),
        ([{"mode": "perhaps"}], "mode"),
        ([{"mode": "ask", "words_granted": {"en": ["yes"]}}], "words_granted"),
        ([{"mode": "ask", "until_granted": "keep", "words_granted": {"": ["yes"]}}], "words_granted"),
        ([{"mode": "ask", "until_granted": "keep", "words_denied": {"en": []}}], "words_denied"),
        ([{"mode": "ask", "until_granted": "keep", "words_denied": {"en": ["..."]}}], "words_denied"),
        ([{"key_granted": "12"}], "key_granted"),
        ([{"mode": "ask", "expires_days": -1}], "expires_days"),
        ([{"mode": "ask", "phrases": []}], "phrases"),
        ([{"mode": "ask"}, {"mode": "never", "match": {"adapter": "twilio"}}], r"policy\[1\]\.match"),
        ([{"mode": "ask", "match": {"dialled": "1"}}, {"mode": "never", "match": {"dialled": "1"}}], r"policy\[1\]\.match"),
    ],
)  # fmt: skip
def test_rules_that_contradict_are_refused_with_the_keys_name(rules, names):
    with pytest.raises(ConfigError, match=names):
        convert({"policy": rules}, Config, "")


def test_rules_that_go_together_are_taken():
    rules = [
        {"mode": "ask", "match": {"adapter": "twilio"}, "until_granted": "buffer", "key_granted": "1"},
        {"mode": "never", "match": {"adapter": "freeswitch"}, "pause_keys": "*1"},
        {"mode": "record", "pause": True, "pause_keys": "*1", "resume_keys": "*2"},
    ]
    assert [rule.mode for rule in convert({"policy": rules}, Config, "").policy] == ["ask", "never", "record"]


def test_terms_of_a_newer_version_are_read():
    plain = {**msgspec.to_builtins(ASK), "beep": True}
    assert msgspec.convert(plain, Terms) == ASK


def test_words_agree_as_a_whole_and_refuse_anywhere():
    words = Terms(
        mode="ask",
        until_granted="keep",
        words_granted={"en": ("Yes, you may",), "de": ("ja gerne",)},
        words_denied={"en": ("do not record",)},
    )

    def said(text: str, language: str = "en-GB") -> str | None:
        return by_words(words, text, language)

    assert said("yes you may.") == "granted"
    assert said("well yes you may not") is None
    assert said("please do not record me") == "denied"
    assert said("ja gerne") is None
    assert said("Ja, gerne!", "de-CH") == said("ja gerne", "") == "granted"
    assert by_words(None, "yes", "en") is None
    assert said("") is None
