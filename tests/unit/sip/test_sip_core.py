"""The rules of a server, at a time that is moved by hand: transactions, dialogs, what is refused."""

import re

import pytest
from sip_kit import SDP, TCP, UDP, Table, field, fields, request, status, tag

from vcond.base.errors import ConfigError, ProtocolError
from vcond.sip import responses
from vcond.sip.application import Answer, End
from vcond.sip.core import Uas
from vcond.sip.settings import Settings


def test_a_call_from_invite_to_bye():
    table = Table(
        extensions=frozenset({"siprec"}), contact_params=";+sip.srs", accept=("application/sdp", "application/x")
    )
    (trying,) = table.feed(
        request(body=SDP, extra="Require: siprec\nRecord-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>")
    )
    assert status(trying) == 100
    assert ";tag=" not in field(trying, "To")
    (final,) = table.answer()
    assert status(final) == 200
    assert final.endswith(SDP)
    assert field(final, "Contact") == "<sip:127.0.0.1:5060>;+sip.srs"
    assert fields(final, "Record-Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert field(final, "Supported") == "siprec, timer"
    assert field(final, "Accept") == "application/sdp, application/x, multipart/mixed"
    assert field(final, "Allow") == "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"
    assert field(final, "Via").endswith(";rport=5099;received=127.0.0.1")
    assert table.feed(request("ACK", to_tag=tag(final))) == []
    (bye,) = table.feed(request("BYE", cseq=2, to_tag=tag(final)))
    assert status(bye) == 200
    assert table.kinds() == ["Changed", "Acked", "Ended"]
    assert not table.core.dialogs


def test_a_retransmitted_invite_gets_what_its_first_one_got():
    table = Table()
    invite = request(body=SDP)
    (trying,) = table.feed(invite)
    assert table.feed(invite) == [trying]
    (final,) = table.answer()
    assert table.feed(invite) == [final]
    table.feed(request("ACK", to_tag=tag(final)))
    assert table.feed(invite) == [final]
    assert not table.asks


def test_200_is_sent_again_until_its_ack_comes():
    table = Table()
    table.feed(request(body=SDP))
    (final,) = table.answer()
    assert [at for at, _ in table.pass_(12)] == [0.5, 1.5, 3.5, 7.5, 11.5]
    table.feed(request("ACK", to_tag=tag(final), cseq=7))
    assert len(table.pass_(4)) == 1
    table.feed(request("ACK", to_tag=tag(final)))
    assert table.pass_(60) == []
    assert table.core.due() is None


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_a_200_that_nobody_acknowledges_puts_the_dialog_in_doubt(flow):
    table = Table()
    table.feed(request(body=SDP), flow)
    table.answer()
    assert len(table.pass_(33)) == 10
    assert table.doubts() == [End.NO_ACK]
    (dialog,) = table.core.dialogs
    (bye,) = table.take(table.core.hang_up(dialog, table.now, End.NO_ACK))
    assert bye.startswith(b"BYE sip:src@127.0.0.1:5099 SIP/2.0\r\n")
    assert (field(bye, "From"), field(bye, "To")) == (f"{dialog.local}", "<sip:src@127.0.0.1:5099>;tag=ft")
    assert table.told[-1].why is End.NO_ACK


def test_a_later_request_says_that_the_200_has_arrived():
    table = Table()
    table.feed(request(body=SDP))
    (final,) = table.answer()
    table.feed(request("INFO", cseq=2, to_tag=tag(final)))
    table.pass_(60)
    assert table.doubts() == []
    assert len(table.core.dialogs) == 1


def test_the_200_of_an_invite_is_not_sent_again_when_its_ack_was_lost_and_another_invite_came():
    table = Table()
    table.feed(request(body=SDP))
    (final,) = table.answer()
    table.feed(request(cseq=2, to_tag=tag(final), body=SDP))
    (again,) = table.answer()
    assert {data for _, data in table.pass_(12)} == {again}
    table.feed(request("ACK", cseq=2, to_tag=tag(final)))
    assert table.pass_(60) == []
    assert table.doubts() == []


def test_an_ack_with_the_branch_of_its_invite_counts():
    table = Table()
    table.feed(request(body=SDP, branch="z9hG4bKsame"))
    (final,) = table.answer()
    table.feed(request("ACK", to_tag=tag(final), branch="z9hG4bKsame"))
    assert table.kinds() == ["Changed", "Acked"]
    assert table.pass_(60) == []


def test_a_refusal_is_sent_again_over_udp_until_its_ack_and_leaves_no_dialog():
    table = Table()
    table.feed(request(branch="z9hG4bKr"))
    (final,) = table.answer(Answer.refused(488, ("Warning", '304 vcond "none"')))
    assert (status(final), field(final, "Warning")) == (488, '304 vcond "none"')
    assert [at for at, _ in table.pass_(4)] == [0.5, 1.5, 3.5]
    table.feed(request("ACK", to_tag=tag(final), branch="z9hG4bKr"))
    assert table.pass_(60) == []
    assert (table.kinds(), len(table.core.dialogs)) == ([], 0)


def test_a_refusal_over_tcp_is_sent_once():
    table = Table()
    table.feed(request(), TCP)
    table.answer(Answer.refused(486))
    assert table.pass_(60) == []


def test_cancel_before_the_answer():
    table = Table()
    table.feed(request(branch="z9hG4bKc"))
    cancelled, terminated = table.feed(request("CANCEL", branch="z9hG4bKc"))
    assert (status(cancelled), field(cancelled, "CSeq")) == (200, "1 CANCEL")
    assert (status(terminated), field(terminated, "CSeq"), tag(terminated)) == (487, "1 INVITE", tag(cancelled))
    assert table.told[-1].why is End.CANCELLED
    assert table.answer() == []
    assert not table.core.dialogs


def test_cancel_after_the_answer_changes_nothing():
    table = Table()
    table.feed(request(branch="z9hG4bKc"))
    table.answer()
    (cancelled,) = table.feed(request("CANCEL", branch="z9hG4bKc"))
    assert status(cancelled) == 200
    assert len(table.core.dialogs) == 1
    (unknown,) = table.feed(request("CANCEL", branch="z9hG4bKother"))
    assert status(unknown) == 481


def test_bye_while_the_invite_waits_for_its_answer():
    table = Table()
    table.feed(request(body=SDP))
    (dialog,) = table.core.dialogs
    answers = table.feed(request("BYE", cseq=2, to_tag=dialog.id.local_tag))
    assert [status(answer) for answer in answers] == [200, 487]
    assert table.answer() == []


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "INFO", "INVITE", "OPTIONS"])
def test_481_for_dialogs_that_are_not_known(method):
    table = Table()
    (answer,) = table.feed(request(method, to_tag="nope"))
    assert status(answer) == 481
    assert table.odd() == ["unknown-dialog"]
    assert table.feed(request("ACK", to_tag="nope")) == []


def test_a_bye_that_comes_again_gets_its_200_again():
    table = Table()
    local = table.call()
    bye = request("BYE", cseq=2, to_tag=local)
    assert table.feed(bye) == table.feed(bye)
    table.pass_(33)
    assert status(table.feed(bye)[0]) == 481


def test_a_dialog_is_found_on_any_connection_and_answered_where_it_was_asked():
    table = Table()
    local = table.call()
    elsewhere = TCP._replace(connection=9, remote=("127.0.0.1", 50_000))
    table.feed(request("INVITE", cseq=2, to_tag=local, body=SDP), elsewhere)
    table.answer()
    assert {flow for flow, _ in table.sent[-2:]} == {elsewhere}
    assert [dialog.flow for dialog in table.core.dialogs] == [elsewhere]


def test_cseq_goes_up_only():
    table = Table()
    local = table.call()
    for number, wanted in ((5, 200), (4, 500), (5, 500), (6, 200)):
        (answer,) = table.feed(request("INFO", cseq=number, to_tag=local))
        assert status(answer) == wanted


def test_a_reinvite_that_is_refused_leaves_the_dialog():
    table = Table()
    local = table.call()
    table.feed(request(cseq=2, to_tag=local, body=SDP, contact="<sip:moved@127.0.0.1:5098>"))
    assert status(table.answer(Answer.refused(488))[0]) == 488
    assert [dialog.target for dialog in table.core.dialogs] == ["sip:moved@127.0.0.1:5098"]


def test_one_change_at_a_time():
    table = Table()
    local = table.call()
    table.feed(request("UPDATE", cseq=2, to_tag=local, body=b"x", kind="application/rs-metadata+xml"))
    for method in ("INVITE", "UPDATE"):
        (answer,) = table.feed(request(method, cseq=3, to_tag=local, body=SDP))
        assert status(answer) == 500
        assert 0 <= int(field(answer, "Retry-After")) <= 10
    assert field(table.answer(Answer())[0], "Content-Type") is None
    table.feed(request(cseq=4, to_tag=local, body=SDP))
    assert status(table.answer()[0]) == 200


def test_491_while_an_offer_of_ours_waits_for_its_answer():
    table = Table()
    table.feed(request())
    (final,) = table.answer()
    for method in ("INVITE", "UPDATE"):
        assert status(table.feed(request(method, cseq=2, to_tag=tag(final), body=SDP))[0]) == 491
    table.feed(request("ACK", to_tag=tag(final), body=SDP))
    assert table.told[-1].request.body == SDP
    table.feed(request(cseq=3, to_tag=tag(final), body=SDP))
    assert status(table.answer()[0]) == 200


def test_info_is_answered_and_a_package_refused():
    table = Table()
    local = table.call()
    table.kinds()
    assert status(table.feed(request("INFO", cseq=2, to_tag=local, body=b"Signal=5"))[0]) == 200
    assert table.kinds() == ["Informed", "Changed"]
    assert status(table.feed(request("INFO", cseq=3, to_tag=local, extra="Info-Package: x"))[0]) == 469
    assert status(table.feed(request("OPTIONS", cseq=4, to_tag=local))[0]) == 200


def test_options_tell_how_we_are():
    table = Table()
    (well,) = table.feed(request("OPTIONS"))
    assert (status(well), field(well, "Accept")) == (200, "application/sdp, multipart/mixed")
    table.wait = 30
    for method in ("OPTIONS", "INVITE"):
        (ill,) = table.feed(request(method))
        assert (status(ill), field(ill, "Retry-After")) == (503, "30")
    assert not table.asks


def test_the_same_refusal_comes_again_without_being_remembered():
    table = Table()
    for asked in (request("OPTIONS"), request(extra="Require: nothingSupportsThis")):
        assert table.feed(asked) == table.feed(asked)
    assert len(table.core._transactions) == 0


def test_420_names_what_is_not_supported():
    table = Table(extensions=frozenset({"siprec"}))
    (answer,) = table.feed(request(extra="Require: siprec, TIMER\nRequire: 100rel, nothingSupportsThis"))
    assert (status(answer), field(answer, "Unsupported")) == (420, "100rel, nothingsupportsthis")


@pytest.mark.parametrize(
    ("method", "wanted"), [("REGISTER", 405), ("MESSAGE", 405), ("PRACK", 405), ("NEWMETHOD", 501)]
)
def test_methods_that_are_not_served(method, wanted):
    (answer,) = Table().feed(request(method))
    assert (status(answer), field(answer, "Allow").split(", ")[0]) == (wanted, "INVITE")


def test_a_body_that_is_packed_is_refused():
    (answer,) = Table().feed(request(body=b"\x1f\x8b", extra="Content-Encoding: gzip"))
    assert (status(answer), field(answer, "Accept-Encoding")) == (415, "identity")


def test_a_request_that_came_by_two_ways_is_one_call():
    table = Table()
    table.feed(request(branch="z9hG4bKone"))
    assert status(table.feed(request(branch="z9hG4bKtwo"))[0]) == 482
    assert len(table.asks) == 1


@pytest.mark.parametrize(
    ("via", "remote"),
    [
        ("SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx;rport", ("127.0.0.1", 5099)),
        ("SIP/2.0/UDP sbc.invalid:5080;branch=z9hG4bKx", ("127.0.0.1", 5080)),
        ("SIP/2.0/UDP sbc.invalid;branch=z9hG4bKx;maddr=192.0.2.9;received=192.0.2.8", ("127.0.0.1", 5060)),
    ],
)
def test_answers_go_to_the_source_and_never_to_a_named_host(via, remote):
    table = Table()
    (answer,) = table.feed(request("OPTIONS", via=via))
    assert table.sent[-1][0].remote == remote
    assert "received=127.0.0.1" in field(answer, "Via")
    assert "192.0.2.8" not in field(answer, "Via")


def test_all_vias_come_back_in_their_order():
    table = Table()
    extra = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa, SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKb"
    (answer,) = table.feed(request("OPTIONS", extra=extra))
    assert [via.split(";")[0][-9:] for via in fields(answer, "Via")] == [".0.1:5099", "192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize("pattern", ["_RPORT", "_RECEIVED"])
def test_a_via_is_looked_through_once(pattern):
    """Possessive quantifiers: otherwise blanks are shared out between two of them in every way there is."""
    assert not re.search(r"[*?](?![+])", getattr(responses, pattern).pattern.replace("(?:", "").replace("(?=", ""))


def test_contact_says_how_we_are_reached():
    table = Table(advertise="192.0.2.7")
    assert field(table.feed(request("OPTIONS"), TCP)[0], "Contact") == "<sip:192.0.2.7:5060;transport=tcp>"
    tls = TCP._replace(transport="tls", local=("::1", 5061))
    assert field(table.feed(request("OPTIONS", uri="sips:srs@[::1]"), tls)[0], "Contact") == "<sips:192.0.2.7:5061>"
    assert field(Table().feed(request("OPTIONS"), tls)[0], "Contact") == "<sip:[::1]:5061;transport=tls>"


def test_others_than_those_allowed_get_nothing():
    table = Table(allowed=("192.0.2.0/24", "2001:db8::/32"))
    assert table.feed(request("OPTIONS")) == []
    assert table.odd() == ["address"]
    for host in ("192.0.2.200", "::ffff:192.0.2.1", "2001:db8::5"):
        assert len(table.feed(request("OPTIONS"), UDP._replace(remote=(host, 5060)))) == 1
    assert not table.core.allows("no address")
    with pytest.raises(ConfigError):
        Uas(Settings(allowed=("192.0.2.300",)))


def test_rates_are_held_for_each_address():
    table = Table(invites=2, options=3)
    assert [status(table.feed(request("OPTIONS"))[0]) for _ in range(5)] == [200, 200, 200, 503, 503]
    codes = [status(table.feed(request(call_id=f"c{n}"))[0]) for n in range(4)]
    assert codes == [100, 100, 503, 503]
    assert status(table.feed(request("OPTIONS"), UDP._replace(remote=("127.0.0.2", 1)))[0]) == 200
    table.pass_(0.5)
    assert status(table.feed(request(call_id="c9"))[0]) == 100
    assert table.odd() == ["options-rate"] * 2 + ["invite-rate"] * 2


def test_dialogs_and_what_is_remembered_are_bounded(monkeypatch):
    table = Table(dialogs=1)
    table.call()
    (full,) = table.feed(request(call_id="c2"))
    assert (status(full), field(full, "Retry-After")) == (503, "10")
    monkeypatch.setattr("vcond.sip.transactions.MAX_BYTES", 5000)
    table = Table()
    local = table.call()
    table.feed(request(cseq=2, to_tag=local, body=b"x" * 6000))
    assert status(table.feed(request(call_id="c2"))[0]) == 503
    assert status(table.feed(request("INFO", cseq=3, to_tag=local))[0]) == 200
    table.answer()
    assert status(table.feed(request(call_id="c2"))[0]) == 100
    table.take(table.core.answer(table.asks.pop(), Answer.refused(486), table.now))
    table.pass_(100)
    assert (len(table.core._transactions), table.core._transactions._bytes) == (0, 0)


def test_hanging_up_sends_a_bye_until_it_is_answered():
    table = Table()
    table.call(extra="Record-Route: <sip:p1;lr>, <sip:p2;lr>")
    (dialog,) = table.core.dialogs
    (bye,) = table.take(table.core.hang_up(dialog, table.now))
    assert fields(bye, "Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert table.sent[-1][0] == UDP
    assert [at for at, _ in table.pass_(8)] == [0.5, 1.5, 3.5, 7.5]
    answer = bye.replace(b"BYE sip:src@127.0.0.1:5099 SIP/2.0", b"SIP/2.0 481 Gone")
    table.feed(answer.replace(b"481", b"100", 1))
    assert len(table.pass_(4)) == 1
    table.feed(answer)
    assert table.pass_(60) == []
    assert table.take(table.core.hang_up(dialog, table.now)) == []
    assert [action.why for action in table.told if type(action).__name__ == "Ended"] == [End.OURS]


def test_hanging_up_before_the_answer_refuses_the_call():
    table = Table()
    table.feed(request(body=SDP))
    (dialog,) = table.core.dialogs
    (answer,) = table.take(table.core.hang_up(dialog, table.now))
    assert status(answer) == 480


def test_a_dialog_goes_on_in_another_process():
    table = Table()
    local = table.call(extra="Supported: timer\nSession-Expires: 90")
    (dialog,) = table.core.dialogs
    saved = dialog.saved()
    assert len(saved) < 600
    later = Table()
    later.now = table.now
    again = later.core.restore(saved, later.now)
    assert again.saved() == saved.replace(b"5060], 1]", b"5060], -1]")
    assert status(later.feed(request("INFO", cseq=2, to_tag=local, call_id=dialog.id.call_id))[0]) == 200
    later.pass_(91)
    assert later.doubts() == [End.EXPIRED]
    for broken in (b"", b"{}", b"[1]", b"\xff", saved[:-5]):
        with pytest.raises(ProtocolError):
            later.core.restore(broken, later.now)


def test_bytes_that_are_no_utf_8_survive_a_restart_and_come_back_as_they_were():
    table = Table()
    invite = request(body=SDP).replace(b"From: ", b'From: "M\xfcller" ')
    table.feed(invite)
    table.answer()
    (dialog,) = table.core.dialogs
    later = Table()
    later.core.restore(dialog.saved(), later.now)
    (again,) = later.core.dialogs
    (bye,) = later.take(later.core.hang_up(again, later.now))
    assert b'To: "M\xfcller" <sip:src@127.0.0.1:5099>;tag=ft\r\n' in bye


def test_answers_that_cannot_be_written_can_be_given_otherwise():
    table = Table()
    table.feed(request(body=SDP))
    (ask,) = table.asks
    with pytest.raises(ValueError, match="line end"):
        table.core.answer(ask, Answer(headers=(("X", "a\r\nb"),)), table.now)
    assert status(table.answer(Answer.refused(500))[0]) == 500
    for code in (100, 183, 202, 700):
        with pytest.raises(ValueError, match="final"):
            Answer(code)
