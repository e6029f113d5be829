"""The whole DAG with its real commands, from phantoms' raw files to the reports, as small as it gets."""

import json
import re
import sys
from itertools import product
from pathlib import Path

import forked
import pytest
from conftest import Project

from latent_anatomy.data import slices_file

IMAGES, BRAIN, HEARTS = "phantom-pneumoniamnist", "phantom-brain", "phantom-acdc"
CHESTS = "phantom-radiography"
RUNS = {"unoranic": ["unoranic", "ae"], "baur": ["anovaegan", "healthy-mean"], "sdnet": ["unet", "sdnet"]}
RUNS |= {"ra": ["ra", "ltm"]}
DATASETS = {"unoranic": IMAGES, "baur": BRAIN, "sdnet": f"{HEARTS}.fold.40", "ra": CHESTS}
SWEPT = {"splits": ["fold"], "folds": [0, 1], "labelled": [40]}
REPLICATES = {"unoranic": ["seed-1"], "baur": ["seed-1"], "sdnet": ["fold-0.seed-1", "fold-1.seed-1"]}
REPLICATES |= {"ra": ["seed-1"]}
TINY = {
    "unoranic": {
        "datasets": [IMAGES],
        "seeds": [1],
        "changes": [
            {"runs": ["unoranic", "ae"], "params": {"epochs": 1, "width": 4, "latent": 8}},
        ],
        "evaluation": {
            "probing": {"epochs": 1, "draws": 1},
            "separation": {"draws": 1},
            "robustness": {"images": 8, "severities": [1, 2, 3, 4, 5], "probe_epochs": 1},
        },
    },
    "baur": {
        "datasets": [BRAIN],
        "seeds": [1],
        "changes": [
            {"runs": ["anovaegan"], "params": {"epochs": 1, "width": 4, "momentum": 0.9}},
            {"runs": ["healthy-mean"], "params": {"by_position": False}},
        ],
    },
    "sdnet": {
        "sweeps": {"all": {"datasets": [HEARTS], "runs": RUNS["sdnet"], **SWEPT}},
        "seeds": [1],
        "changes": [
            {"params": {"epochs": 1, "width": 2, "depth": 3, "momentum": 0.9}},
            {
                "runs": ["sdnet"],
                "params": {"critic_width": 2, "unlabelled_images": 20, "real_masks": "labelled"},
            },
        ],
        "evaluation": {"volume": {"epochs": 1, "steps": 1}},
    },
    "ra": {
        "datasets": [CHESTS],
        "seeds": [1],
        "changes": [
            {"runs": ["ra", "vq-vae", "ltm"], "params": {"epochs": 1, "steps_per_epoch": 2}},
            {"runs": ["ra"], "params": {"widths": [4, 4], "features": 4, "perceptual": "random"}},
            {"runs": ["vq-vae"], "params": {"width": 4, "codes": 4, "size": 4}},
            {"runs": ["ltm"], "params": {"width": 8, "depth": 1, "heads": 2}},
        ],
    },
}
QUICK = {"angles_deg": [0], "shifts_mm": [0], "starts": 1, "iterations": [40, 20], "spacing_mm": 4}
COARSE = {
    "atlas": {"spacing_mm": 4},
    "bias": {"iterations": [2]},
    "coregister": QUICK,
    "register": QUICK | {"transform": "affine"},
    "strip": {"kind": "given"},
    "slab": {"count": 8, "size": 64},
    "gate": {"measures": {"native_brain_ml": {"maximum": 2300}}},
}
# In the copy of the sources: fewer heads, of larger voxels, go through the same commands.
DRAWN = {
    "brain": "PhantomBrain(train=1, val=1, test=2, flair_mm=(4.0, 4.0, 4.0), t1_mm=(4.0, 4.0, 4.0))",
    "acdc": "PhantomAcdc(patients=PATIENTS[:15], frames=4, size=32, spacing_mm=4.5)",
}


@pytest.fixture
def project(clean, tmp_path) -> Project:
    """Every study, with the real verbs: the first command of each is the installed one, others are forks."""
    (commands := tmp_path / "commands").mkdir()
    real = str(Path(sys.executable).with_name("latent-anatomy"))
    forked.stand_in(commands / "latent-anatomy", "latent_anatomy", real, first_for_itself=True)
    project = Project(clean.copy(tmp_path / "project").path, commands)
    for module, drawn in DRAWN.items():
        source = project.path / f"src/latent_anatomy/datasets/phantoms/{module}.py"
        before, after = f"DATASETS = ({drawn.split('(')[0]}(),)", f"DATASETS = ({drawn},)"
        text = source.read_text()
        assert before in text
        source.write_text(text.replace(before, after))
    collection = {"images": [IMAGES, HEARTS, CHESTS], "volumes": [BRAIN], "studies": TINY}
    project.choose("collections", value={"phantom": collection})
    project.choose("data", value="phantom")
    project.choose("imaging", value={"datasets": {BRAIN: {"steps": COARSE}}})
    for study, runs in RUNS.items():
        project.choose("studies", study, "runs", value=runs)
    return project


@pytest.mark.slow
def test_from_raw_files_to_reports_and_then_nothing_to_do(project):
    result = project.snakemake("--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    for study, runs in RUNS.items():
        for run, replicate in product(runs, REPLICATES[study]):
            place = project.path / "results" / study / DATASETS[study] / run / replicate
            found = json.loads((place / "metrics.json").read_text())
            assert len(found) > 5
            assert json.loads((place / "passport.json").read_text())["job"]["run"] == run
            assert (place / "arrays.npz").is_file()
        report = (project.path / "reports" / f"{study}.html").read_text()
        assert "Phantoms" in report and str(project.path) not in report
    index = (project.path / "reports/index.html").read_text()
    links = re.findall(r'href="([^"#]+)"', index)
    assert set(links) == {f"{name}.html" for name in ("qc", *RUNS)} and "4 of 4 heads passed" in index
    for page in ("index.html", *links):
        shown = (project.path / "reports" / page).read_text()
        back = re.findall(r'<a href="([^"#:]+)"', shown[shown.index("<body") :])
        assert all((project.path / "reports" / link).is_file() for link in back) and back
    ledger = (project.path / "results" / "ledger-phantom.csv").read_text()
    assert all(name in ledger for name in DATASETS.values())
    assert BRAIN not in (project.path / "results" / "ledger.csv").read_text()

    heads = slices_file.read(project.path / f"data/slices/{BRAIN}.h5")
    assert heads.images.shape == (4 * 8, 1, 64, 64)
    assert set(heads.split.tolist()) == {"train", "val", "test"}
    lesion = heads.masks[:, heads.mask_names.index("lesion")] == 1
    assert lesion[heads.split == "test"].any() and not lesion[heads.split == "train"].any()
    assert (project.path / "reports" / "qc.html").read_text().count("data:image/png") > 4 * 5
    assert project.plan() == set()
