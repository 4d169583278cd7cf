"""An agent whose leg stays up all day (uuid-standby, fifo consumers, dialers, nailed-up conferences): a vCon a customer."""

from __future__ import annotations

import asyncio

import pytest
from fskit import Ears
from fslab import Lab, lab

from vcond.sdk.contract import Cause
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event
from vcond_freeswitch.tracker import ChannelTracker

SECOND = 1_000_000_000


def records(host: MemoryHost) -> list:
    return [call for call in host.calls if not call.state.merged_into]


def people(call) -> set[str]:
    return {party.who.tel or party.who.sip.partition("@")[0] for party in call.state.parties}


@pytest.mark.parametrize("hung_up", ["recv_bye", "send_bye"])
def test_customers_of_a_parked_agent_are_apart_in_record_and_sound(hung_up):
    async def main(it: Lab) -> None:
        async with it.attached():
            switch, said = it.switch, [voice(n + 2, 1.0) for n in range(3)]
            agent = switch.create(number="1001", label="Agent", destination="agent-login")
            agent.app = "park"
            switch.answer(agent)
            await it.listened(agent)
            for n in range(3):
                await asyncio.sleep(5)
                number = f"+155501{n:02d}00"
                customer = switch.create(number=number, label=f"C {n}", destination=number, inbound=False)
                switch.answer(customer)
                await asyncio.sleep(0.5)
                switch.bridge(agent, customer)
                await it.listened(customer, agent)
                await it.speak((customer, said[n]), (agent, voice(1, 1.0)))
                await asyncio.sleep(1)
                switch.unbridge(agent, customer)
                switch.hang_up(customer, variable_sip_hangup_disposition=hung_up)
                await asyncio.sleep(5)
                assert all(call.over for call in it.host.calls)
                assert not agent.bugs, "nobody hears who is parked"
            switch.hang_up(agent, variable_sip_hangup_disposition="recv_bye")
            await asyncio.sleep(3)
            calls = records(it.host)
            assert [people(call) for call in calls] == [{"1001", f"+155501{n:02d}00"} for n in range(3)]
            for n, call in enumerate(calls):
                parties = range(len(call.state.parties))
                for other in range(3):
                    found = max(it.heard(call, party, said[other]) for party in parties)
                    assert (found > 0.9) == (other == n), (n, other, found)
                assert max(it.heard(call, party, voice(1, 1.0)) for party in parties) > 0.9
            assert it.host.drops.total() == 0

    lab(main)


class AdapterHost:
    """The tracker alone, told by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.host = MemoryHost("freeswitch", clock=self.clock)
        self.names: dict[str, str] = {}
        self.ears = Ears()
        self.tracker = ChannelTracker(self.host, Config().checked(), self.ears)

    def tell(self, name: str, leg: str, **more: str) -> None:
        self.clock.advance(SECOND)
        channel = self.names.setdefault(leg, more.pop("channel", f"sofia/internal/{leg}@pbx.example.com"))
        more.pop("channel", "")
        number = more.pop("caller_number", leg)
        direction = more.pop("direction", "inbound")
        event = Event(name=name, leg=leg, channel=channel, direction=direction, caller_number=number, **more)
        self.tracker.event(event, self.clock.now())

    def arrive(self, leg: str, **more: str) -> None:
        self.tell("CHANNEL_CREATE", leg, **more)
        self.tell("CHANNEL_ANSWER", leg, **more)

    def hang_up(self, leg: str) -> None:
        self.tell("CHANNEL_HANGUP_COMPLETE", leg, cause="NORMAL_CLEARING", q850="16", hung_up="recv_bye")

    def calls(self) -> list[set[str]]:
        assert self.host.faults == []
        return [people(call) for call in records(self.host)]


def test_an_agent_of_a_queue_on_standby():
    it = AdapterHost()
    it.arrive("1001")
    for customer in ("5550100", "5550101", "5550102"):
        it.arrive(customer, channel=f"sofia/external/{customer}@carrier.example.com")
        queue = {"subclass": "callcenter::info", "cc_member_leg": customer, "cc_queue": "support"}
        it.tell("CUSTOM", customer, cc_action="member-queue-start", **queue)
        it.tell("CUSTOM", customer, cc_action="bridge-agent-start", cc_agent_leg="1001", cc_agent="1001", **queue)
        it.tell("CHANNEL_BRIDGE", customer, bridge_a=customer, bridge_b="1001", answered="1")
        it.hang_up(customer)
    assert it.calls() == [{"1001", "5550100"}, {"1001", "5550101"}, {"1001", "5550102"}]
    assert not it.host.open_calls()
    assert all("agent" in {fact.name for fact in call.state.facts} for call in records(it.host))


def test_an_agent_at_home_who_was_called_over_a_trunk():
    it = AdapterHost()
    it.arrive("5550199", channel="sofia/external/5550199@carrier", direction="outbound", destination="5550199")
    for customer in ("5550100", "5550101"):
        it.arrive(customer, channel=f"sofia/external/{customer}@carrier")
        it.tell("CHANNEL_BRIDGE", customer, bridge_a=customer, bridge_b="5550199", answered="1")
        it.hang_up(customer)
    assert it.calls() == [{"5550199", "5550100"}, {"5550199", "5550101"}]


def test_a_caller_who_waits_in_a_queue_is_one_call_with_all_agents_he_talks_to():
    it = AdapterHost()
    it.arrive("5550100")
    queue = {"subclass": "callcenter::info", "cc_member_leg": "5550100", "cc_queue": "support"}
    it.tell("CUSTOM", "5550100", cc_action="member-queue-start", **queue)
    for agent in ("1001", "1002"):
        it.arrive(agent)
        it.tell("CUSTOM", "5550100", cc_action="bridge-agent-start", cc_agent_leg=agent, cc_agent=agent, **queue)
        it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b=agent, answered="1")
        it.hang_up(agent)
    it.hang_up("5550100")
    assert it.calls() == [{"5550100", "1001", "1002"}]


def test_an_agent_in_a_conference_of_his_own():
    it = AdapterHost()
    room = {"subclass": "conference::maintenance", "conference": "agent-1001", "conference_id": "c1"}
    it.arrive("1001")
    it.tell("CUSTOM", "1001", action="add-member", **room)
    for customer in ("5550100", "5550101"):
        it.arrive(customer)
        it.tell("CUSTOM", customer, action="add-member", **room)
        it.tell("CUSTOM", customer, action="del-member", **room)
        it.hang_up(customer)
    it.tell("CUSTOM", "1001", action="del-member", **room)
    it.hang_up("1001")
    assert it.calls() == [{"1001", "5550100"}, {"1001", "5550101"}]
    assert [fact.value for call in records(it.host) for fact in call.state.facts if fact.name == "conference"] == [
        "agent-1001",
        "agent-1001",
    ]


def test_an_agent_takes_the_next_while_the_first_talks_to_a_colleague():
    it = AdapterHost()
    for leg in ("1001", "5550100", "1002", "5550101"):
        it.arrive(leg)
    it.tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="5550100", answered="1")
    it.tell("CHANNEL_UNBRIDGE", "1001", bridge_a="1001", bridge_b="5550100")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1002", answered="1")
    it.tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="5550101", answered="1")
    for leg in ("5550101", "1001", "5550100", "1002"):
        it.hang_up(leg)
    assert it.calls() == [{"1001", "5550100", "1002"}, {"1001", "5550101"}]


CUSTOMERS = ("5550100", "5550101")


def come(it: AdapterHost, customer: str) -> None:
    it.arrive(customer, channel=f"sofia/external/{customer}@carrier.example.com")


def by_queue(it: AdapterHost, customer: str) -> None:
    queue = {"subclass": "callcenter::info", "cc_member_leg": customer, "cc_queue": "support"}
    it.tell("CUSTOM", customer, cc_action="member-queue-start", **queue)
    it.tell("CUSTOM", customer, cc_action="bridge-agent-start", cc_agent_leg="1001", cc_agent="1001", **queue)
    it.tell("CHANNEL_BRIDGE", customer, bridge_a=customer, bridge_b="1001", answered="1")
    it.tell("CHANNEL_UNBRIDGE", customer, bridge_a=customer, bridge_b="1001")


def by_conference(it: AdapterHost, customer: str) -> None:
    room = {"subclass": "conference::maintenance", "conference": customer, "conference_id": customer}
    for leg in (customer, "1001"):
        it.tell("CUSTOM", leg, action="add-member", **room)
    it.tell("CUSTOM", "1001", action="del-member", **room)


def in_the_agents_conference(it: AdapterHost, customer: str) -> None:
    room = {"subclass": "conference::maintenance", "conference": "agent", "conference_id": "c1"}
    if customer == CUSTOMERS[0]:
        it.tell("CUSTOM", "1001", action="add-member", **room)
    it.tell("CUSTOM", customer, action="add-member", **room)
    it.tell("CUSTOM", customer, action="del-member", **room)


@pytest.mark.parametrize("meet", [by_queue, by_conference, in_the_agents_conference])
def test_the_next_comes_while_the_last_answers_a_survey(meet):
    it = AdapterHost()
    it.arrive("1001")
    for customer in CUSTOMERS:
        come(it, customer)
        meet(it, customer)
    for leg in (*CUSTOMERS, "1001"):
        it.hang_up(leg)
    assert it.calls() == [{"1001", "5550100"}, {"1001", "5550101"}]
    assert not it.host.open_calls()


def test_an_agent_who_listens_in_right_after_a_customer_hung_up():
    it = AdapterHost()
    it.arrive("1001")
    come(it, "5550100")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    it.tell("CHANNEL_HANGUP_COMPLETE", "5550100", cause="NORMAL_CLEARING", q850="16", hung_up="send_bye")
    it.tell("CALL_UPDATE", "1001", app="eavesdrop")
    it.clock.advance(5 * SECOND)
    for conversation in it.tracker.conversations():
        conversation.look(it.clock.now())
    assert it.calls() == [{"1001", "5550100"}]
    assert not it.host.open_calls()
    assert "RecordingPaused" not in {type(event).__name__ for event in it.host.calls[0].events}


@pytest.mark.parametrize("why", ["limit", "operator"])
def test_a_call_that_was_ended_takes_no_other_with_it(why):
    it = AdapterHost()
    it.arrive("1001")
    come(it, "5550100")
    ended, living = it.host.calls
    ended.end(at=it.clock.now(), cause=Cause(text=why))
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    assert it.host.open_calls() == [living]
    assert people(living) == {"1001", "5550100"}


@pytest.mark.parametrize("name", ["CHANNEL_ANSWER", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "DTMF"])
def test_what_is_told_of_a_channel_after_its_end_is_no_new_call(name):
    it = AdapterHost()
    it.arrive("1001")
    it.hang_up("1001")
    it.tell(name, "1001", digit="1")
    assert not it.tracker.legs
    assert len(it.host.calls) == 1


def wait(it: AdapterHost, seconds: int = 5) -> None:
    it.clock.advance(seconds * SECOND)
    for conversation in it.tracker.conversations():
        conversation.look(it.clock.now())
    it.tracker.let_go(it.clock.now())


SENT_ON = "1790000000:abc:bl_xfer:1002/default/XML"


def by_transfer(it: AdapterHost, customer: str, agent: str) -> None:
    """``uuid_transfer`` of the customer: the agent is parked again."""
    it.tell("CHANNEL_UNBRIDGE", customer, bridge_a=customer, bridge_b=agent, transfer_source=SENT_ON)


def by_bridge(it: AdapterHost, customer: str, agent: str) -> None:
    """``uuid_bridge`` of the customer with a colleague, told in the other order."""
    it.tell("CHANNEL_UNBRIDGE", agent, bridge_a=agent, bridge_b=customer)
    it.arrive("1002")
    it.tell("CHANNEL_BRIDGE", customer, bridge_a=customer, bridge_b="1002", answered="1")


def out_of_the_conference(it: AdapterHost, customer: str, agent: str) -> None:
    room = {"subclass": "conference::maintenance", "conference": "agent", "conference_id": "c1"}
    for leg in (agent, customer):
        it.tell("CUSTOM", leg, action="add-member", **room)
    it.tell("CUSTOM", customer, action="del-member", **room)
    by_bridge(it, customer, agent)


@pytest.mark.parametrize("way", [by_transfer, by_bridge, out_of_the_conference])
def test_an_agent_leaves_the_call_when_his_customer_is_sent_on_to_a_colleague(way):
    it = AdapterHost()
    it.arrive("1001")
    come(it, "5550100")
    if way is not out_of_the_conference:
        it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    way(it, "5550100", "1001")
    agent = it.tracker.legs["1001"]
    assert it.tracker.legs["5550100"].conversation.left_behind(agent)
    assert it.ears.stopped[-1] == "1001", "nobody hears who is parked again"
    wait(it)
    (call,) = it.host.open_calls()
    gone = next(party for party in call.state.parties if party.key == "1001")
    assert not gone.here
    assert agent.party is None
    if way is by_transfer:
        it.arrive("1002")
        it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1002", answered="1")
    come(it, "5550101")
    it.tell("CHANNEL_BRIDGE", "5550101", bridge_a="5550101", bridge_b="1001", answered="1")
    for leg in ("5550100", "1002", "5550101", "1001"):
        it.hang_up(leg)
    assert it.calls() == [{"1001", "5550100", "1002"}, {"5550101", "1001"}]
    assert not it.host.open_calls()


def test_an_agent_whose_customer_comes_back_to_him_is_in_the_call_again():
    it = AdapterHost()
    it.arrive("1001")
    come(it, "5550100")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    by_transfer(it, "5550100", "1001")
    wait(it, 60)
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    wait(it)
    assert it.tracker.legs["1001"].party.here
    it.hang_up("5550100")
    it.hang_up("1001")
    assert it.calls() == [{"1001", "5550100"}]


def test_an_agent_who_hands_on_and_hangs_up_did_the_transfer():
    it = AdapterHost()
    it.arrive("1001")
    come(it, "5550100")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    by_transfer(it, "5550100", "1001")
    it.tell("CHANNEL_HANGUP_COMPLETE", "1001", transfer_to="blind:5550100", transfer_destination="blind:1002")
    wait(it)
    (moved,) = [event for event in it.host.calls[0].events if type(event).__name__ == "Transferred"]
    parties = [party.key for party in it.host.calls[0].state.parties]
    assert (parties[moved.transferor], parties[moved.transferee], moved.to) == ("1001", "5550100", "1002")


@pytest.mark.parametrize("app", ["att_xfer", "bridge"])
def test_who_waits_while_a_colleague_is_asked_is_not_left_behind(app):
    """The customer of ``att_xfer``, and an agent whose customer is only unbridged."""
    it = AdapterHost()
    it.arrive("5550100")
    it.tell("CALL_UPDATE", "5550100", app="park")
    it.arrive("1001")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    it.tell("CHANNEL_UNBRIDGE", "5550100", bridge_a="5550100", bridge_b="1001")
    it.tell("CALL_UPDATE", "1001", app=app)
    if app == "att_xfer":
        it.arrive("1002")
        it.tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="1002", answered="1")
    wait(it, 30)
    assert it.tracker.legs["5550100"].party.here
    for leg in list(it.tracker.legs):
        it.hang_up(leg)
    assert len(it.calls()) == 1


@pytest.mark.parametrize("told", ["before", "alone"])
def test_a_hold_goes_with_its_leg_into_the_next_call(told):
    it = AdapterHost()
    it.arrive("1001")
    come(it, "5550100")
    if told == "alone":
        it.tell("CHANNEL_HOLD", "1001")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    if told == "before":
        it.tell("CHANNEL_HOLD", "1001")
    by_bridge(it, "5550100", "1001")
    come(it, "5550101")
    it.tell("CHANNEL_BRIDGE", "5550101", bridge_a="5550101", bridge_b="1001", answered="1")
    call = it.tracker.legs["1001"].conversation.call
    assert people(call) == {"5550101", "1001"}
    it.tell("CHANNEL_UNHOLD", "1001")
    told = [type(event).__name__ for event in call.events if type(event).__name__ in {"Held", "Retrieved"}]
    assert told == ["Held", "Retrieved"]


def test_a_supervisor_who_takes_the_call_over_is_a_party_from_then_on():
    it = AdapterHost()
    come(it, "5550100")
    it.arrive("1001", other="5550100")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1001", answered="1")
    it.arrive("1009", app="eavesdrop")
    it.tell("CALL_UPDATE", "1009", app="intercept")
    it.tell("CHANNEL_UNBRIDGE", "5550100", bridge_a="5550100", bridge_b="1001")
    it.hang_up("1001")
    it.tell("CHANNEL_BRIDGE", "5550100", bridge_a="5550100", bridge_b="1009", answered="1")
    it.tell("CALL_UPDATE", "1009", app="eavesdrop")  # the name of what he did last stays
    assert it.ears.started[-1] == "1009"
    (call,) = it.host.open_calls()
    assert call.state.party_by_key("1009").here
    it.hang_up("5550100")
    it.hang_up("1009")
    assert it.calls() == [{"5550100", "1001", "1009"}]
    assert not it.host.open_calls()


@pytest.mark.parametrize("opened", [True, False])
def test_a_supervisor_has_calls_of_his_own_beside(opened):
    it = AdapterHost()
    it.arrive("1009")
    it.tell("CALL_UPDATE", "1009", app="eavesdrop")
    it.tell("CALL_UPDATE", "1009", app="park")
    for customer in CUSTOMERS:
        if opened:
            come(it, customer)
        else:
            it.tell("CHANNEL_CREATE", customer, channel=f"sofia/external/{customer}@carrier.example.com")
            it.tell("CHANNEL_ANSWER", customer)
        it.tell("CHANNEL_BRIDGE", customer, bridge_a=customer, bridge_b="1009", answered="1")
        it.hang_up(customer)
        wait(it)
    it.hang_up("1009")
    assert it.calls()[1:] == [{"1009", "5550100"}, {"1009", "5550101"}]
    assert not it.host.open_calls()


def test_who_lets_a_colleague_go_talks_to_the_first_again():
    """``att_xfer`` and ``*``: the first bridge was never undone, and nothing tells that it goes on."""
    it = AdapterHost()
    it.arrive("1002")
    it.arrive("1001")
    it.tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="1002", answered="1")
    it.tell("CALL_UPDATE", "1002", app="att_xfer")
    it.arrive("1003", other="1002")
    it.tell("CHANNEL_BRIDGE", "1002", bridge_a="1002", bridge_b="1003", answered="1")
    it.tell("CHANNEL_UNBRIDGE", "1002", bridge_a="1002", bridge_b="1003")
    it.hang_up("1003")
    it.tell("CALL_UPDATE", "1002", app="park")
    wait(it, 30)
    one, two = it.tracker.legs["1001"], it.tracker.legs["1002"]
    assert (one.peer, two.peer) == ("1002", "1001")
    assert one.talking
    assert two.talking
    assert two.party.here
    it.hang_up("1001")
    it.hang_up("1002")
    assert it.calls() == [{"1001", "1002", "1003"}]


@pytest.mark.parametrize("told", ["CHANNEL_ANSWER", "CALL_UPDATE"])
def test_a_third_one_who_comes_to_two_is_in_their_call(told):
    it = AdapterHost()
    it.arrive("1001")
    it.arrive("1002", other="1001")
    it.tell("CHANNEL_BRIDGE", "1001", bridge_a="1001", bridge_b="1002", answered="1")
    it.tell("CHANNEL_CREATE", "1003")
    if told == "CALL_UPDATE":
        it.tell("CHANNEL_ANSWER", "1003", app="answer")
    it.tell(told, "1003", app="three_way", app_data="1002")
    it.tell("DTMF", "1003", app="three_way", app_data="1002")
    it.hang_up("1001")
    it.hang_up("1003")
    it.hang_up("1002")
    assert it.calls() == [{"1001", "1002", "1003"}]
    assert not it.host.open_calls()
