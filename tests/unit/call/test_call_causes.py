import pytest

from vcond.call.causes import Cause, Disposition, disposition


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Cause(q850=17), Disposition.BUSY),
        (Cause(sip=486), Disposition.BUSY),
        (Cause(sip=600), Disposition.BUSY),
        (Cause(text="BUSY"), Disposition.BUSY),
        (Cause(q850=19), Disposition.NO_ANSWER),
        (Cause(sip=408), Disposition.NO_ANSWER),
        (Cause(sip=480), Disposition.NO_ANSWER),
        (Cause(text="NOANSWER", q850=16), Disposition.NO_ANSWER),  # the platform's word wins over its codes
        (Cause(text="no-answer"), Disposition.NO_ANSWER),
        (Cause(q850=34), Disposition.CONGESTION),
        (Cause(sip=503), Disposition.CONGESTION),
        (Cause(text="CANCEL"), Disposition.HUNG_UP),
        (Cause(sip=487), Disposition.HUNG_UP),
        (Cause(q850=16), Disposition.HUNG_UP),
        (Cause(q850=3, sip=404), Disposition.FAILED),
        (Cause(), Disposition.FAILED),
        (Cause(text="whatever"), Disposition.FAILED),
    ],
)
def test_each_cause_has_one_of_the_six_dispositions(cause: Cause, expected: Disposition):
    assert disposition(cause) is expected
