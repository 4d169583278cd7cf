from __future__ import annotations

import pytest

from vcond.testing.conformance import AdapterConformance


class TestPcmLineConformance(AdapterConformance):
    @pytest.fixture
    def rig(self, pcm_rig):
        return pcm_rig()
