from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from vcond.base.time import MILLI, Instant
from vcond.call.ids import Minter, uuid8


def test_the_drafts_own_vectors():
    # draft-ietf-vcon-vcon-core-04 section 4.1.2
    assert str(uuid8(0x019F155A5131, 0x0EC, "example.com")) == "019f155a-5131-80ec-832a-bc92ac6830cd"
    assert str(uuid8(0x019F155A5131, 0x0EC, "strolid.com")) == "019f155a-5131-80ec-a776-374dc8835ce7"


@given(st.lists(st.integers(0, 50), min_size=2, max_size=300), st.integers(0, 2**31 - 1))
def test_uuids_never_repeat_and_always_grow(steps: list[int], seed: int):
    minter, now, seen = Minter("edge.example.com", seed=seed), 1_795_339_662_000, []
    for step in steps:
        now += step // 25  # many within one millisecond
        seen.append(minter.mint(Instant(now * MILLI)))
    assert sorted(seen) == seen
    assert len(set(seen)) == len(seen)
    assert all(isinstance(one, UUID) and one.version == 8 and one.variant == "specified in RFC 4122" for one in seen)


def test_more_than_4096_in_a_millisecond_spill_into_the_next():
    minter = Minter("edge.example.com", seed=1)
    made = [minter.mint(Instant(5 * MILLI)) for _ in range(10_000)]
    assert len(set(made)) == 10_000


def test_a_clock_that_goes_back_does_not_bring_a_uuid_back():
    minter = Minter("edge.example.com", seed=1)
    first = minter.mint(Instant(1000 * MILLI))
    assert minter.mint(Instant(10 * MILLI)) > first
