"""The notebook of the study runs on made-up results, is stored without outputs, and keeps phantoms apart."""

import json
import os
from pathlib import Path

import nbformat
import papermill
import pytest
from synthetic_results import PAPER, comparison, result, write, write_arrays, write_history

from latent_anatomy import ledger

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "unoranic.ipynb"
RUNS = ("unoranic", "ae", "resnet18", "resnet18-corruption")


def execute(root: Path, names: list[str], phantom: bool) -> str:
    """Run the notebook in `root` with relative paths; all that it shows, as JSON."""
    contents = [result(run, name) for name in names for run in RUNS]
    key = "reconstruction/psnr/unoranic-minus-ae"
    metrics = write(root, *contents, *(comparison(name, {key: (0.3, 0.001)}) for name in names))
    arrays = [
        write_arrays(path, 1 if "breast" in str(path) else 3)
        for path in metrics
        if path.parts[-3] == "unoranic" and path.parent.name == "seed-1"
    ]
    histories = [write_history(root, "unoranic", names[0])]
    names = ("other.csv", "ledger.csv") if phantom else ("ledger.csv", "other.csv")
    both = [PAPER, PAPER.with_name("baur.yaml")]  # a ledger is of all studies, a report of one
    ledger.write(both, metrics, *(root / "results" / name for name in names))
    papermill.execute_notebook(
        NOTEBOOK,
        root / "out.ipynb",
        parameters={
            "ledger_file": "results/ledger.csv",
            "papers_file": os.path.relpath(PAPER, root),
            "phantom": phantom,
            "metrics_files": [str(path.relative_to(root)) for path in metrics],
            "arrays_files": [str(path.relative_to(root)) for path in arrays],
            "history_files": [str(path.relative_to(root)) for path in histories],
        },
        cwd=root,
        kernel_name="python3",
        progress_bar=False,
    )
    cells = nbformat.read(root / "out.ipynb", as_version=4).cells
    return json.dumps([cell.get("outputs", []) for cell in cells if cell.cell_type == "code"])


@pytest.fixture(autouse=True)
def quiet_kernel(monkeypatch):
    """The kernel finds the package wherever the tests found it, and writes nothing into the home."""
    source = str(Path(ledger.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]))


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])] == ["parameters"]
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "/home" not in text and "/root" not in text


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
    ledger.write([PAPER], write(tmp_path, result("unoranic", name)), *outs)
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    given = {"ledger_file": str(path), "papers_file": str(PAPER), "phantom": flag, "metrics_files": []}
    with pytest.raises(ValueError, match="expected rows of phantoms only if"):
        exec(cells["setup"], given)
