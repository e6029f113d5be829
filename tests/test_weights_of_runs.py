"""What runs are given of others is asked of their methods once, and again when anything of it changes."""

import pytest
from conftest import ROOT

from latent_anatomy.pipeline import evaluation_jobs, params, training_jobs, weights


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The collections whose methods were asked."""
    collections, ask = [], training_jobs.weights

    def counted(chosen):
        collections.append(chosen.data)
        return ask(chosen)

    monkeypatch.setattr(training_jobs, "weights", counted)
    return collections


def test_the_methods_are_asked_once(tmp_path, asked):
    chosen, kept = params.load(ROOT / "params.yaml").model_copy(update={"data": "at-hand"}), tmp_path / "kept"
    given = weights.of_runs(chosen, kept)
    assert given and all(each.files for downloads in given.values() for each in downloads)
    assert weights.of_runs(chosen, kept) == given == training_jobs.weights(chosen)
    assert weights.of_protocols(chosen, kept) == evaluation_jobs.weights(chosen)
    assert weights.downloads(chosen, kept) == evaluation_jobs.downloads(chosen)
    assert asked == ["at-hand"] * 3  # the second and third are this test's own


@pytest.mark.parametrize("damaged", ["{", "[]", ""])
def test_they_are_asked_again_when_params_change_or_nothing_can_be_read(tmp_path, asked, damaged):
    chosen, kept = params.load(ROOT / "params.yaml"), tmp_path / "kept"
    given = weights.of_runs(chosen, kept)
    weights.of_runs(chosen.model_copy(update={"data": "at-hand"}), kept)
    kept.write_text(damaged)
    assert weights.of_runs(chosen, kept) == given
    assert asked == ["phantom", "at-hand", "phantom"]
