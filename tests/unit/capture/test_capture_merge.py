"""Two calls that cannot become one."""


async def test_a_merge_that_cannot_be_says_so_and_changes_nothing(house, monkeypatch):
    call = house.host.call("k", at=house.now(0), direction="inbound")
    call.party("a", at=house.at(0))
    other = house.host.call("k2", at=house.now(1))
    party = other.party("c", at=house.at(1))
    monkeypatch.setattr("vcond.call.recorder.LARGEST_MERGE", 10)
    assert not call.merge(other)
    assert not call.merge(call)
    house.free = 0
    house.registry.pressure.look(house.config, 2)
    unkept = house.host.call("k3", at=house.now(2))
    assert not call.merge(unkept)
    assert (call.joined, other.over, unkept.over) == ([], False, False)
    assert other.state.parties[party].here
    monkeypatch.undo()
    assert call.merge(other)
    assert other.over
