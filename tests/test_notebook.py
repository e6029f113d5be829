"""The notebook of the study runs on made-up results, is stored without outputs, and keeps phantoms apart."""

from pathlib import Path

import pytest
import reporting
from reporting import figures, shown_by, texts
from synthetic_results import PAPER, comparison, result, write, write_arrays, write_history

from latent_anatomy.ledger import build
from latent_anatomy.reports import study

NOTEBOOK = reporting.notebook("unoranic")
RUNS = ("unoranic", "ae", "resnet18", "resnet18-corruption")


def given(root: Path, names: list[str], phantom: bool, runs: tuple[str, ...] = RUNS) -> dict:
    """Parameters of the notebook for made-up results of these runs on data sets."""
    contents = [result(run, name) for name in names for run in runs]
    key = "reconstruction/psnr/unoranic-minus-ae"
    metrics = write(root, *contents, *(comparison(name, {key: (0.3, 0.001)}) for name in names))
    arrays = [
        write_arrays(path, 1 if "breast" in str(path) else 3)
        for path in metrics
        if path.parts[-3] == "unoranic" and path.parent.name == "seed-1"
    ]
    histories = [write_history(root, "unoranic", names[0])]
    return reporting.report("unoranic", root, phantom, metrics, arrays, histories, other="baur")


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_on_real_results_it_shows_tables_claims_and_figures(tmp_path, monkeypatch):
    parameters = given(tmp_path, ["breastmnist-resaved"], phantom=False)
    shown = shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch)
    text = texts(shown)
    assert "paper 29.390" in text
    assert "breastmnist-resaved in place of breastmnist" in text
    assert "after Holm" in text
    assert "unORANIC - vanilla AE" in text and "+0.3 [+0.25, +0.35]" in text  # the paired test
    assert figures(shown) == 3 + 3 + 1 + 1 + 1  # tables, images, Figure 4, Figure 5, curves
    assert "Phantoms." not in text
    assert "tum-ms" not in text


def test_on_phantoms_it_says_so_and_shows_no_number_of_the_paper(tmp_path, monkeypatch):
    parameters = given(tmp_path, ["phantom-retinamnist"], phantom=True)
    text = texts(shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch))
    assert "<b>Phantoms.</b>" in text
    assert "paper 3" not in text
    assert "paper's script" not in text
    assert "phantoms never have the paper's" in text


def test_a_ledger_of_the_other_kind_is_refused(tmp_path):
    [path] = write(tmp_path, result("unoranic", "phantom-retinamnist"))
    ledger, other = tmp_path / "ledger.csv", tmp_path / "other.csv"
    build.write([PAPER], write(tmp_path / "real", result("unoranic", "retinamnist")), ledger, other)
    with pytest.raises(ValueError, match="expected rows of phantoms only if"):
        study.read("unoranic", True, [path], [], [], PAPER, ledger)
