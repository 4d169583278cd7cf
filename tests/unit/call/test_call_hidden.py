"""Who hid the number is nobody in every form in which systems say so, and nobody else is."""

from __future__ import annotations

import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.hidden import asks, hides, shown
from vcond.call.state import fold
from vcond.publish.summary import summary

OPENED = ev.CallOpened(at=Instant(1), call="u", adapter="a", key="k")

WORDS = (
    "anonymous", "Anonymous", "ANONYMOUS", "restricted", "private", "unavailable", "unknown", "blocked", "withheld",
    "Private Caller", "Anonymous Caller", "number withheld", "Caller ID Blocked", "NUMBER_UNAVAILABLE", "No Caller ID",
    "Unknown-Number", '"Anonymous"', "Out of Area", "Unterdrückt", "Rufnummer unterdrückt", "Anonyme", "Anónimo", "非通知",
    "PRIVATENUMBER", "NOCALLERID", "Caller ID Number Withheld", "Anonymer Anrufer", "unterdrueckt", "Private Nummer", "privat",
    "Appel masqué", "Numéro privé", "Número Privado", "llamada anónima", "numero privato", "anoniem", "Nummer onbekend",
    "Unbekannte Nummer", "hemligt nummer", "номер скрыт", "Скрытый номер", "匿名来电", "未知号码", "通知不可能", "발신번호표시제한",
    "not provided",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_word_hides_as_number_as_address_and_as_name(word):
    user = word.replace(" ", "%20").replace('"', "")
    for who in (
        ev.PartyInfo(tel=word),
        ev.PartyInfo(sip=f"{user}@pbx.example.com"),
        ev.PartyInfo(sip=f"{user}@192.0.2.1:5060"),
        ev.PartyInfo(name=word),
    ):
        assert hides(who), who
        assert shown(who) == ev.PartyInfo(name="anonymous", hidden=True)


@pytest.mark.parametrize(
    "who",
    [
        ev.PartyInfo(tel="+266696687"), ev.PartyInfo(tel="266696687"), ev.PartyInfo(tel="+7378742883"), ev.PartyInfo(tel="+2562533"),
        ev.PartyInfo(tel="+8656696"), ev.PartyInfo(tel="+86282452253"), ev.PartyInfo(tel="tel:+266696687"), ev.PartyInfo(tel="0000000000"),
        ev.PartyInfo(tel="+0000000000"), ev.PartyInfo(sip="+266696687@sip.example.com"), ev.PartyInfo(sip="0000000000@192.0.2.1"),
        ev.PartyInfo(sip="anonymous@anonymous.invalid"), ev.PartyInfo(sip="c8oqz84@ANONYMOUS.invalid:5060"), ev.PartyInfo(sip="x@a.anonymous.invalid."),
        ev.PartyInfo(sip="sip:anonymous@pbx.example.com"), ev.PartyInfo(sip="anonymous;phone-context=x@pbx.example.com"), ev.PartyInfo(sip="anonymous"),
        ev.PartyInfo(mailto="x@anonymous.invalid"), ev.PartyInfo(uuid="client:Anonymous", name="Anonymous"),
        ev.PartyInfo(tel="+15550100123", name="anonymous@anonymous.invalid"), ev.PartyInfo(name="+266696687"), ev.PartyInfo(name="0000000000"),
        ev.PartyInfo(tel="+15550100123", name="Anonymous"), ev.PartyInfo(sip="anonymous@anonymous.invalid", name="Ada Lovelace"),
        ev.PartyInfo(tel="+15550100123", name="Ada Lovelace", sip="a@b.example", mailto="a@b.example", uuid="7", hidden=True),
    ],
)  # fmt: skip
def test_nothing_is_shown_of_who_hid(who):
    assert shown(who) == ev.PartyInfo(name="anonymous", hidden=True)


@pytest.mark.parametrize(
    "who",
    [
        ev.PartyInfo(), ev.PartyInfo(tel="+15550100123"), ev.PartyInfo(tel="7378742883"), ev.PartyInfo(tel="2562533"), ev.PartyInfo(tel="+17378742883"),
        ev.PartyInfo(tel="1000"), ev.PartyInfo(tel="000"), ev.PartyInfo(name="Anonymous Logistics", tel="+15550100123"),
        ev.PartyInfo(name="Private Bank"), ev.PartyInfo(name="Bank Private"), ev.PartyInfo(name="Blocked Drains Ltd"), ev.PartyInfo(name="Unknown Pleasures"),
        ev.PartyInfo(name="Numero Uno"), ev.PartyInfo(name="Privatbank AG"), ev.PartyInfo(name="Private Phone Repair"), ev.PartyInfo(name="Call Centre"),
        ev.PartyInfo(name="The Unknown Soldier"), ev.PartyInfo(name="Restricted Goods Unit"), ev.PartyInfo(name="Hidden Valley"),
        ev.PartyInfo(sip="private.bank@pbx.example.com"), ev.PartyInfo(sip="1001@anonymous.example.com"), ev.PartyInfo(sip="1001@anonymous-invalid.example"),
        ev.PartyInfo(sip="1001@unknown.invalid"), ev.PartyInfo(mailto="anonymous@example.com"), ev.PartyInfo(name="非常口"), ev.PartyInfo(name="Masque"[:-1]),
    ],
)  # fmt: skip
def test_who_has_a_name_or_number_keeps_it(who):
    assert not hides(who)
    assert shown(who) == who


def test_a_name_that_the_network_did_not_have_hides_no_number():
    assert shown(ev.PartyInfo(tel="+15550100123", name="Unavailable", validation="none")) == ev.PartyInfo(
        tel="+15550100123"
    )
    assert shown(ev.PartyInfo(sip="1001@pbx.example.com", name="unknown")) == ev.PartyInfo(sip="1001@pbx.example.com")


def test_what_a_hidden_party_is_stays():
    who = ev.PartyInfo(tel="anonymous", uuid="x", type="person", role="customer", org="Example", dept="Sales")
    assert shown(who) == ev.PartyInfo(
        name="anonymous", type="person", role="customer", org="Example", dept="Sales", hidden=True
    )


def test_who_asked_once_stays_hidden_and_a_number_that_comes_later_takes_a_words_place():
    call = fold(
        [
            OPENED,
            ev.PartyJoined(at=Instant(2), party=0, key="a", who=ev.PartyInfo(tel="+15550100123", hidden=True)),
            ev.PartyDescribed(at=Instant(3), party=0, who=ev.PartyInfo(tel="+15550100124", name="Ada")),
            ev.PartyJoined(at=Instant(2), party=1, key="b", who=ev.PartyInfo(tel="unknown")),
            ev.PartyDescribed(at=Instant(3), party=1, who=ev.PartyInfo(tel="+15550100999")),
        ]
    )
    assert [party.who for party in call.parties] == [
        ev.PartyInfo(name="anonymous", hidden=True),
        ev.PartyInfo(tel="+15550100999"),
    ]
    assert [(one["name"], one["tel"]) for one in summary(call)["parties"]] == [("anonymous", ""), ("", "+15550100999")]


def test_a_journal_of_before_is_read_and_the_flag_is_written_only_where_it_is_set():
    old = {"t": "PartyJoined", "at": 2, "party": 0, "key": "a", "who": {"tel": "+15550100123"}}
    event = ev.decode(old)
    assert isinstance(event, ev.PartyJoined)
    assert not event.who.hidden
    assert ev.encode(event) == old
    hidden = ev.PartyJoined(at=Instant(2), party=0, key="a", who=ev.PartyInfo(hidden=True))
    assert ev.decode(ev.encode(hidden)) == hidden


@pytest.mark.parametrize(
    ("header", "value", "asked"),
    [
        ("Privacy", '"id"', True), ("Privacy", "critical;none", False), ("f", "<sip:anonymous@anonymous.invalid>", True),
        ("From", '"sip:bob@example.com" <sip:anonymous@anonymous.invalid>', True),
        ("From", '"sip:anonymous@x" <sip:bob@example.com>', False), ("From", '"a \\" <sip:bob@x>" <sip:anonymous@x>', True),
        ("Remote-Party-ID", '"a;privacy=full" <sip:+15550100123@example.com>;privacy=off', False),
        ("Remote-Party-ID", '<sip:+15550100123@example.com>;privacy="full"', True),
        ("Privacy", "id", True), ("privacy", "header;user;critical", True), ("Privacy", "none", False), ("Privacy", "history", False),
        ("Remote-Party-ID", "<sip:+15550100123@example.com>;party=calling;privacy=full;screen=yes", True),
        ("Remote-Party-ID", "<sip:+15550100123@example.com>;privacy=off", False),
        ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1', True), ("From", "<sip:anonymous@192.0.2.1>", True),
        ("From", "<sip:1001@pbx.example.com>;tag=anonymous", False), ("To", "<sip:anonymous@anonymous.invalid>", False),
        ("P-Asserted-Identity", "<sip:1001@pbx.example.com>", False),
    ],
)  # fmt: skip
def test_headers_that_ask(header, value, asked):
    assert asks(header, value) is asked
    call = fold(
        [
            OPENED,
            ev.PartyJoined(at=Instant(2), party=0, key="a", who=ev.PartyInfo(tel="+15550100123")),
            ev.PartyJoined(at=Instant(2), party=1, key="b", who=ev.PartyInfo(tel="+15550100124")),
            ev.CallAttribute(at=Instant(3), name=f"sip_header.{header}", value=value),
        ]
    )
    assert [party.who.hidden for party in call.parties] == [asked, False]
