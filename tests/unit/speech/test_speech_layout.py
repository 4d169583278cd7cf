from __future__ import annotations

from pathlib import Path

import pytest

from vcond.base.errors import ConfigError
from vcond.speech.models.layout import laid_out


def test_a_search_is_bounded_in_a_copy_that_is_gone_when_the_model_is_loaded(model_folder: Path) -> None:
    with laid_out(model_folder, max_active=1000) as copy:
        lines = (copy / "conf" / "model.conf").read_text("utf-8").split()
        assert lines == ["--beam=10.0", "--acoustic-scale=1.0", "--max-active=1000", "--min-active=200"]
        assert (copy / "am" / "final.mdl").read_bytes() == b"weights"
        assert (copy / "graph" / "HCLr.fst").is_file()
        assert (copy / "conf" / "mfcc.conf").is_file()
    assert not copy.exists()
    assert (model_folder / "conf" / "model.conf").read_text("utf-8").count("--max-active=3000") == 1


def test_the_least_states_of_a_search_are_never_more_than_the_most(model_folder: Path) -> None:
    (model_folder / "conf" / "model.conf").write_text("--min-active=900\n", "utf-8")
    with laid_out(model_folder, max_active=500) as copy:
        lines = (copy / "conf" / "model.conf").read_text("utf-8").split()
    assert lines == ["--max-active=500", "--min-active=500"]


@pytest.mark.parametrize("most", [0, 3000, 7000])
def test_a_search_is_never_made_wider_than_the_model_says(model_folder: Path, most: int) -> None:
    with laid_out(model_folder, max_active=most) as same:
        assert same == model_folder


def test_a_model_without_a_configuration_cannot_be_bounded(model_folder: Path) -> None:
    (model_folder / "conf" / "model.conf").unlink()
    with pytest.raises(ConfigError, match="remove max_active"), laid_out(model_folder, max_active=1000):
        pass
