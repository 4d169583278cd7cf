from __future__ import annotations

import pytest

from vcond.testing.sinks import SinkConformance


class TestHttpPutConformance(SinkConformance):
    @pytest.fixture
    def rig(self, httpput_rig):
        return httpput_rig()
