"""The notebook of the study runs on made-up results, is stored without outputs, and keeps phantoms apart."""

from pathlib import Path

import nbformat
import pytest
import reporting
from synthetic_results import PAPER, comparison, result, write, write_arrays, write_history

from latent_anatomy.ledger import build

NOTEBOOK = reporting.notebook("unoranic")
RUNS = ("unoranic", "ae", "resnet18", "resnet18-corruption")


def execute(root: Path, names: list[str], phantom: bool) -> str:
    """Run the notebook in `root`; all that it shows, as JSON."""
    contents = [result(run, name) for name in names for run in RUNS]
    key = "reconstruction/psnr/unoranic-minus-ae"
    metrics = write(root, *contents, *(comparison(name, {key: (0.3, 0.001)}) for name in names))
    arrays = [
        write_arrays(path, 1 if "breast" in str(path) else 3)
        for path in metrics
        if path.parts[-3] == "unoranic" and path.parent.name == "seed-1"
    ]
    histories = [write_history(root, "unoranic", names[0])]
    given = reporting.report("unoranic", root, phantom, metrics, arrays, histories, other="baur")
    return reporting.execute(NOTEBOOK, root, given)


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


@pytest.mark.slow
def test_on_real_results_it_shows_tables_claims_and_figures(tmp_path):
    shown = execute(tmp_path, ["breastmnist-resaved"], phantom=False)
    assert "paper 29.390" in shown
    assert "breastmnist-resaved in place of breastmnist" in shown
    assert "after Holm" in shown
    assert shown.count("image/png") == 3 + 3 + 1 + 1 + 1  # tables, images, Figure 4, Figure 5, curves
    assert "Phantoms." not in shown
    assert "tum-ms" not in shown


@pytest.mark.slow
def test_on_phantoms_it_says_so_and_shows_no_number_of_the_paper(tmp_path):
    shown = execute(tmp_path, ["phantom-retinamnist"], phantom=True)
    assert "<b>Phantoms.</b>" in shown
    assert "paper 3" not in shown
    assert "paper&#x27;s script" not in shown
    assert "phantoms never have the paper's" in shown


@pytest.mark.parametrize(("ledger_is_phantom", "flag"), [(True, False), (False, True)])
def test_a_ledger_of_the_other_kind_stops_the_notebook_at_its_first_cell(tmp_path, ledger_is_phantom, flag):
    name = "phantom-retinamnist" if ledger_is_phantom else "retinamnist"
    path, other = tmp_path / "ledger.csv", tmp_path / "other.csv"
    outs = (other, path) if ledger_is_phantom else (path, other)
    build.write([PAPER], write(tmp_path, result("unoranic", name)), *outs)
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    given = {"ledger_file": str(path), "papers_file": str(PAPER), "phantom": flag, "metrics_files": []}
    with pytest.raises(ValueError, match="expected rows of phantoms only if"):
        exec(cells["setup"], given)
