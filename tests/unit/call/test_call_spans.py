from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vcond.call.events import SpanKind
from vcond.call.spans import Spans

kinds = st.sampled_from(list(SpanKind)[:4])
strokes = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), kinds), max_size=40)


@given(strokes)
def test_spans_are_what_painting_an_array_gives(painted: list[tuple[int, int, SpanKind]]):
    spans, model = Spans(), [SpanKind.ABSENT] * 61
    for start, stop, kind in painted:
        spans.set(start, stop, kind)
        model[start:stop] = [kind] * max(0, stop - start)
    assert [spans.kind_at(i) for i in range(61)] == model
    rows = list(spans)
    assert all(a < b for a, b, _ in rows)
    assert all(one[1] <= two[0] and (one[1] < two[0] or one[2] is not two[2]) for one, two in pairwise(rows))
    for kind in set(model) - {SpanKind.ABSENT}:
        assert spans.total(kind) == model.count(kind)
        assert spans.total(kind, 10, 30) == model[10:30].count(kind)


def test_what_is_missing_between_a_frame_and_a_hold_belongs_to_the_hold():
    spans = Spans()
    for start, stop, kind in (
        (0, 1000, SpanKind.RECEIVED),
        (1000, 1056, SpanKind.LOST),
        (1056, 9000, SpanKind.HELD),
        (9000, 9320, SpanKind.LOST),
        (9320, 10_000, SpanKind.RECEIVED),
        (10_000, 10_100, SpanKind.LOST),
        (10_100, 11_000, SpanKind.RECEIVED),
        (11_000, 12_000, SpanKind.HELD),
        (12_000, 12_321, SpanKind.LOST),
    ):
        spans.set(start, stop, kind)
    assert spans.hold_edges(8000) == [(1000, 1056), (9000, 9320)]
    assert spans.hold_edges(16_000) == [(1000, 1056), (9000, 9320), (12_000, 12_321)]
    assert Spans().hold_edges(8000) == []


def test_where_the_last_of_some_kinds_ends():
    line = Spans()
    assert line.end_of({SpanKind.RECEIVED}) is None
    line.set(0, 100, SpanKind.RECEIVED)
    line.set(100, 200, SpanKind.SILENT)
    line.set(200, 900, SpanKind.LOST)
    assert line.end_of({SpanKind.RECEIVED}) == 100
    assert line.end_of({SpanKind.RECEIVED, SpanKind.SILENT}) == 200
    assert line.end_of({SpanKind.HELD}) is None
