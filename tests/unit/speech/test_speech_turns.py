from __future__ import annotations

from vcond.speech.scheduler import Turns


def test_calls_take_turns_and_each_keeps_its_order() -> None:
    turns: Turns[str] = Turns()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.push(item[0], item)
    turns.push("b", "b0", first=True)
    assert len(turns) == 7
    assert [turns.pop() for _ in range(8)] == ["a1", "b0", "c1", "a2", "b1", "c2", "a3", None]
    assert len(turns) == 0


def test_a_call_of_long_items_gets_no_more_than_one_of_short_ones() -> None:
    turns: Turns[str] = Turns()
    for number in range(4):
        turns.push("long", f"l{number}", cost=6)
    for number in range(8):
        turns.push("short", f"s{number}", cost=2)
    order = [turns.pop() for _ in range(8)]
    assert order == ["l0", "s0", "s1", "s2", "l1", "s3", "s4", "s5"]


def test_who_leaves_and_comes_back_has_not_forgotten_what_it_was_given() -> None:
    turns: Turns[str] = Turns()
    turns.push("a", "a0", cost=10)
    turns.push("b", "b0", cost=1)
    assert turns.pop() == "a0"
    turns.push("a", "a1", cost=10)
    turns.push("b", "b1", cost=1)
    assert [turns.pop() for _ in range(3)] == ["b0", "b1", "a1"]
    assert turns._given == {}


def test_calls_that_are_gone_take_no_memory() -> None:
    turns: Turns[str] = Turns()
    turns.push("first", "x", cost=5)
    for number in range(1000):
        turns.push(f"call {number}", "x", cost=5)
        turns.pop()
    assert len(turns) == 1
    assert len(turns._given) <= 202


def test_calls_that_are_waited_for_come_first_the_one_with_the_least_left_before_the_others() -> None:
    turns: Turns[str] = Turns()
    for call, count in (("others", 1), ("much", 3), ("little", 2)):
        for number in range(count):
            turns.push(call, f"{call}{number}")
    order = [turns.pop({"much", "little"}) for _ in range(6)]
    assert order == ["little0", "little1", "much0", "much1", "much2", "others0"]


def test_what_is_discarded_is_gone_and_counted() -> None:
    turns: Turns[str] = Turns()
    for item in ("a1", "a2", "b1"):
        turns.push(item[0], item)
    assert turns.discard(lambda item: item.endswith("1")) == ["a1", "b1"]
    assert (len(turns), list(turns), turns.pop(), turns.pop()) == (1, ["a2"], "a2", None)
