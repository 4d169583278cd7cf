"""The server on sockets of loopback, in virtual time: transports, limits, and what the application is told."""

import asyncio
import socket

import pytest
import uvloop
from sip_clients import Notes, Stream, Udp, contexts, whole_call
from sip_kit import SDP, field, request, status, tag

from vcond.base.errors import ConfigError
from vcond.sip.application import Answer, End
from vcond.sip.server import SipServer
from vcond.sip.settings import Settings
from vcond.testing.time import LoopClock, run_virtual, until


def served(test, *, settings=None, notes=None, transports=("udp", "tcp"), tls=None):
    """Run a test with a server, its notes, and the addresses that it listens on."""

    async def main():
        kept = notes() if notes else Notes()
        async with SipServer(settings or Settings(), kept, LoopClock()) as server:
            addresses = {
                name: await server.listen(name, "127.0.0.1", 0, tls if name == "tls" else None) for name in transports
            }
            async with asyncio.timeout(20_000):
                await test(server, kept, addresses)

    run_virtual(main())


def test_a_call_over_udp():
    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        assert await whole_call(client) == [200, 200]
        assert notes.told == [("invite", SDP), ("ack", b""), ("end", End.BYE)]
        assert field(await client.ask(request("OPTIONS")), "Contact") == f"<sip:127.0.0.1:{at['udp'][1]}>"
        assert not server.dialogs
        await client.close()

    served(test)


def test_200_is_sent_again_over_sockets_until_it_is_acknowledged():
    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        final = await client.ask(request(body=SDP))
        assert [await client.final() for _ in range(3)] == [final] * 3
        client.send(request("ACK", to_tag=tag(final)))
        await asyncio.sleep(40)
        assert client.got.empty()
        assert notes.kinds == ["invite", "ack"]
        await client.close()

    served(test)


@pytest.mark.parametrize(("live", "ends"), [(True, []), (False, [("end", End.NO_ACK)])])
def test_without_an_ack_the_application_says_whether_it_goes_on(live, ends):
    async def test(server, notes, at):
        notes.live = live
        client = await Udp.to(at["udp"])
        await client.ask(request(body=SDP))
        await asyncio.sleep(33)
        assert notes.told[1:] == [("alive", b""), *ends]
        assert len(server.dialogs) == live
        await client.close()

    served(test)


def test_a_datagram_of_the_largest_size_and_noise_before_it():
    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        for noise in (b"\x00\xffgarbage\r\nno colon here\r\n\r\n", b"\r\n\r\n", b"", b"\xff" * 60_000):
            client.send(noise)
        body = b"x" * 64_000
        client.send(request(body=body))
        assert status(await client.final()) == 200
        assert notes.told == [("invite", body)]
        assert notes.odds == ["malformed"] * 2
        await client.close()

    served(test)


def test_tcp_takes_pieces_several_at_once_and_keep_alives():
    async def test(server, notes, at):
        client = await Stream.to(at["tcp"])
        invite = request(transport="TCP", body=SDP)
        client.send(b"\r\n\r\n")
        for start in range(0, len(invite), 100):
            client.send(invite[start : start + 100])
            await asyncio.sleep(1)
        final = await client.final()
        assert client.pongs == 1
        assert field(final, "contact") == f"<sip:127.0.0.1:{at['tcp'][1]};transport=tcp>"
        said = {"transport": "TCP", "to_tag": tag_of(final)}
        client.send(
            request("ACK", **said) + b"\r\n\r\n" + request("INFO", cseq=2, **said) + request("BYE", cseq=3, **said)
        )
        answers = []
        while "3 BYE" not in answers:
            answers.append(field(await client.final(), "cseq"))
        assert answers[-2:] == ["2 INFO", "3 BYE"]
        assert notes.kinds == ["invite", "ack", "info", "end"]
        await client.close()

    served(test)


def tag_of(final):
    return field(final, "to").partition(";tag=")[2]


def test_a_dialog_outlives_its_connection():
    async def test(server, notes, at):
        first = await Stream.to(at["tcp"])
        final = await first.ask(request(transport="TCP", body=SDP))
        first.send(request("ACK", transport="TCP", to_tag=tag_of(final)))
        await first.close()
        await until(lambda: not server.connections)
        second = await Stream.to(at["tcp"])
        assert status(await second.ask(request("BYE", cseq=2, transport="TCP", to_tag=tag_of(final)))) == 200
        await second.close()
        assert notes.told[-1] == ("end", End.BYE)

    served(test)


def test_a_call_over_tls(tmp_path):
    ours, theirs = contexts(tmp_path)

    async def test(server, notes, at):
        client = await Stream.to(at["tls"], theirs)
        final = await client.ask(request(transport="TLS", body=SDP, uri="sips:srs@localhost"))
        assert field(final, "contact") == f"<sips:127.0.0.1:{at['tls'][1]}>"
        assert status(await client.ask(request("BYE", cseq=2, transport="TLS", to_tag=tag_of(final)))) == 200
        await client.close()
        await until(lambda: not server.connections)
        assert notes.odds == []

    served(test, transports=("tls",), tls=ours)


def test_tls_on_uvloop(tmp_path):
    ours, theirs = contexts(tmp_path)

    async def main():
        async with SipServer(Settings(), Notes(), LoopClock()) as server:
            udp = await Udp.to(await server.listen("udp", "127.0.0.1", 0))
            address = await server.listen("tls", "127.0.0.1", 0, ours)
            client = await Stream.to(address, theirs)
            assert status(await client.ask(request(transport="TLS", body=SDP))) == 200
            assert status(await udp.ask(request("OPTIONS"))) == 200
            await client.close()
            await udp.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05"])
def test_who_speaks_no_tls_or_says_too_little_is_let_go(tmp_path, said):
    ours, _ = contexts(tmp_path)

    async def test(server, notes, at):
        client = await Stream.to(at["tls"])
        client.send(said)
        with pytest.raises((ConnectionError, AssertionError)):
            assert await client.final() != b""
        assert not server.connections
        assert notes.odds == ["handshake"]
        await client.close()

    served(test, transports=("tls",), tls=ours)


def test_a_server_that_stops_lets_handshakes_go(tmp_path):
    ours, _ = contexts(tmp_path)
    clients = []

    async def test(server, notes, at):
        clients.append(await Stream.to(at["tls"]))
        await until(lambda: server.connections == 1)
        clients[0].writer.close()

    served(test, transports=("tls",), tls=ours)


@pytest.mark.parametrize(
    "said", [b"", b"INVITE sip:x", b"\r\n\r\nINVITE sip:x SIP/2.0\r\nContent-Length: 5\r\n\r\n123"]
)
def test_half_a_message_is_not_waited_for(said):
    async def test(server, notes, at):
        client = await Stream.to(at["tcp"])
        loop = asyncio.get_running_loop()
        began = loop.time()
        for byte in said:
            client.send(bytes([byte]))
            await asyncio.sleep(0.2)
        with pytest.raises((ConnectionError, AssertionError)):
            assert await client.final() != b""
        assert 29 <= loop.time() - began <= 36
        assert (server.connections, notes.odds) == (0, ["idle"])
        await client.close()

    served(test)


def test_a_connection_in_the_middle_of_a_message_at_each_read_stays():
    async def test(server, notes, at):
        client = await Stream.to(at["tcp"])
        asked = request("OPTIONS", transport="TCP")
        client.send(asked[:50])
        for _ in range(20):
            assert status(await client.ask(asked[50:] + asked[:50])) == 200
            await asyncio.sleep(25)
        await client.close()

    served(test)


def test_an_idle_connection_stays_for_an_hour():
    async def test(server, notes, at):
        client = await Stream.to(at["tcp"])
        for _ in range(3):
            assert status(await client.ask(request("OPTIONS", transport="TCP"))) == 200
            await asyncio.sleep(3590)
        assert server.connections == 1
        await asyncio.sleep(20)
        assert server.connections == 0
        await client.close()

    served(test)


def test_connections_are_bounded_in_all_and_for_each_address():
    async def test(server, notes, at):
        clients = [await Stream.to(at["tcp"]) for _ in range(20)]
        await until(lambda: len(notes.odds) == 17)
        assert (server.connections, set(notes.odds)) == (3, {"connections"})
        for client in clients:
            await client.close()
        await until(lambda: not server.connections)
        client = await Stream.to(at["tcp"])
        assert status(await client.ask(request("OPTIONS", transport="TCP"))) == 200
        await client.close()

    served(test, settings=Settings(connections=50, connections_each=3))
    served(test, settings=Settings(connections=3, connections_each=50))


def test_addresses_that_are_not_allowed_get_neither_answer_nor_connection():
    async def test(server, notes, at):
        client, udp = await Stream.to(at["tcp"]), await Udp.to(at["udp"])
        udp.send(request("OPTIONS"))
        await until(lambda: len(notes.odds) == 2)
        assert notes.odds == ["address"] * 2
        assert (server.connections, udp.got.empty()) == (0, True)
        await client.close()
        await udp.close()

    served(test, settings=Settings(allowed=("192.0.2.1",)))


def test_a_client_that_reads_nothing_is_let_go():
    async def test(server, notes, at):
        client = await Stream.to(at["tcp"])
        client.writer.transport.pause_reading()
        while not notes.odds:
            client.send(request("OPTIONS", transport="TCP", extra=f"Via: SIP/2.0/TCP {'x' * 8000}") * 50)
            await asyncio.sleep(0.01)
        assert notes.odds[0] == "not-read"
        await client.close()

    served(test, settings=Settings(options=1e9))


def test_a_stream_that_makes_no_sense_is_answered_where_it_can_be_and_closed():
    async def test(server, notes, at):
        client = await Stream.to(at["tcp"])
        bad = request("OPTIONS", transport="TCP").replace(b"Content-Length: 0", b"Content-Length: 99999999")
        assert status(await client.ask(bad)) == 413
        assert await client.final() == b""
        await client.close()
        await until(lambda: not server.connections)

    served(test)


@pytest.mark.parametrize("answer", [RuntimeError("a fault"), ValueError("another"), Answer(headers=(("X", "a\nb"),))])
def test_a_fault_of_the_application_is_a_500_and_the_next_call_is_taken(answer):
    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        final = await client.ask(request(body=SDP))
        assert status(final) == 500
        client.send(request("ACK", to_tag=tag(final), branch=field(final, "Via").split("branch=")[1].split(";")[0]))
        assert await whole_call(client, call_id="next") == [200, 200]
        began = 2 if isinstance(answer, Answer) else 1
        assert notes.kinds.count("end") == began
        await client.close()

    served(test, notes=lambda: Notes(answer, Answer(body=SDP)))


def test_an_answer_that_does_not_come_is_a_500():
    async def test(server, notes, at):
        notes.gate.clear()
        client = await Udp.to(at["udp"])
        assert status(await client.ask(request(body=SDP))) == 500
        assert not server.dialogs
        await client.close()

    served(test)


def test_faults_in_what_is_only_told_change_nothing():
    class Faulty(Notes):
        def health(self):
            raise RuntimeError

        def on_ack(self, dialog, request):
            raise RuntimeError

        def alive(self, dialog):
            raise RuntimeError

    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        assert await whole_call(client) == [200, 200]
        await client.ask(request(body=SDP, call_id="c2"))
        await asyncio.sleep(40)
        assert len(server.dialogs) == 1
        await client.close()

    served(test, notes=Faulty)


@pytest.mark.parametrize(
    ("answer", "kinds"), [(Answer(body=SDP), ["invite", "end"]), (Answer.refused(488), ["invite"])]
)
def test_a_call_that_was_cancelled_while_it_was_answered_ends_once(answer, kinds):
    async def test(server, notes, at):
        notes.gate.clear()
        client = await Udp.to(at["udp"])
        client.send(request(body=SDP, branch="z9hG4bKc"))
        await until(lambda: notes.kinds == ["invite"])
        assert status(await client.ask(request("CANCEL", branch="z9hG4bKc"))) == 200
        assert status(await client.final()) == 487
        assert notes.kinds == ["invite"]
        notes.gate.set()
        await asyncio.sleep(40)
        assert notes.kinds == kinds
        await client.close()

    served(test, notes=lambda: Notes(answer))


def test_a_bye_during_a_reinvite_is_told_when_that_is_done():
    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        final = await client.ask(request(body=SDP))
        client.send(request("ACK", to_tag=tag(final)))
        await until(lambda: "ack" in notes.kinds)
        notes.gate.clear()
        client.send(request(cseq=2, to_tag=tag(final), body=SDP))
        await until(lambda: "reinvite" in notes.kinds)
        assert sorted(
            [status(await client.ask(request("BYE", cseq=3, to_tag=tag(final)))), status(await client.final())]
        ) == [200, 487]
        assert "end" not in notes.kinds
        notes.gate.set()
        await notes.ended.wait()
        assert notes.told[-1] == ("end", End.BYE)
        await client.close()

    served(test)


def test_hanging_up_and_going_on_in_another_process():
    async def test(server, notes, at):
        client = await Udp.to(at["udp"])
        final = await client.ask(request(body=SDP))
        client.send(request("ACK", to_tag=tag(final)))
        await until(lambda: "ack" in notes.kinds)
        heir = Notes()
        async with SipServer(Settings(), heir, LoopClock()) as other:
            await other.listen("udp", "127.0.0.1", 0)
            dialog = other.restore(notes.saved[-1])
            other.hang_up(dialog)
            bye = await client.final()
            assert bye.startswith(b"BYE sip:src@127.0.0.1:5099 SIP/2.0\r\n")
            assert heir.told == [("end", End.OURS)]
            other.hang_up(dialog)
        await client.close()

    served(test)


def test_on_all_addresses_contact_names_the_one_that_was_reached():
    async def test(server, notes, at):
        _, port = await server.listen("udp", "0.0.0.0", 0)
        client = await Udp.to(("127.0.0.1", port))
        assert field(await client.ask(request("OPTIONS")), "Contact") == f"<sip:127.0.0.1:{port}>"
        await client.close()

    served(test)


def test_an_address_that_is_taken_is_the_operators_to_mend():
    async def test(server, notes, at):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(ConfigError, match="in use"):
                await server.listen("tcp", *taken.getsockname())
        with pytest.raises(ConfigError, match="in use"):
            await server.listen("udp", *at["udp"])

    served(test)
