"""A finished project whose slices come from volumes: two BIDS folders, the models of one tested on the other.

As `tiny_project`. The jobs of the imaging steps are the real ones, on heads of a few voxels; what takes
minutes on heads, the fits and the search for the brain, is replaced by what is known of them.
"""

from functools import cache
from pathlib import Path

import numpy as np
import yaml
from tiny_project import LEDGERS, ROOT, STUDIES, index, report, report_all, train_and_evaluate

DATASET, OTHER = "bids-tiny", "bids-other"
SPLITS = {
    DATASET: ("train", "train", "val", "test", "train"),
    OTHER: ("test",),
}
FAILED, EXCLUDED = "sub-02", "sub-05"  # of DATASET: by the gate, by hand
RUNS = ("dae", "chance")
SHAPE, MM, CENTRE = (22, 28, 24), 8.0, (0, -18, 10)  # around the atlas' brain


def subject(number: int) -> str:
    return f"sub-{number:02}"


def parameters() -> dict:
    """params.yaml with two BIDS folders, a small model and one that is none."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["data"] = "real"
    content["imaging"] = {
        "steps": {
            "atlas": {"spacing_mm": MM},
            "slab": {"count": 4, "size": 32},
            "gate": {"measures": {"similarity_after": {"minimum": 1}}},  # of noise
        },
        "datasets": {DATASET: {"excluded": {EXCLUDED: "moved"}}},
    }
    content["studies"]["baur"]["runs"] = list(RUNS)
    baur = {
        "datasets": [DATASET],
        "external": [{"dataset": OTHER, "trained_on": DATASET}],
        "seeds": [1],
        "changes": [{"runs": ["dae"], "params": {"epochs": 1, "width": 2, "latent": 4}}],
    }
    studies = {study: {"seeds": [1]} for study in STUDIES} | {"baur": baur}
    content["collections"] = {"real": {"volumes": [DATASET, OTHER], "studies": studies}}
    return content


def write_folder(folder: Path, splits: tuple[str, ...]) -> None:
    """A BIDS folder with FLAIR, T1w and, of who is tested, a lesion mask; with its SHA256SUMS."""
    from latent_anatomy.imaging import volume
    from latent_anatomy.imaging.volume import Volume
    from latent_anatomy.provenance.files import sha256_file

    affine = np.diag([MM, MM, MM, 1])
    affine[:3, 3] = np.array(CENTRE) - MM * (np.array(SHAPE) - 1) / 2
    axes = np.meshgrid(*[np.linspace(-1, 1, length) for length in SHAPE], indexing="ij")
    head = np.float32(sum(axis**2 for axis in axes) < 0.8)
    lines = ["participant_id\tsplit"]
    for number, split in enumerate(splits, start=1):
        who = subject(number)
        lines.append(f"{who}\t{split}")
        random = np.random.default_rng(number + len(splits))
        for suffix in ("FLAIR", "T1w"):
            image = head * random.uniform(200, 900, SHAPE).astype(np.float32)
            volume.write(folder / who / "anat" / f"{who}_{suffix}.nii.gz", Volume(image, affine))
        if split in ("val", "test"):
            lesion = head * (random.random(SHAPE) > 0.9)
            place = folder / "derivatives/raters" / who / "anat" / f"{who}_label-lesion_mask.nii.gz"
            volume.write(place, Volume(lesion.astype(np.float32), affine), "uint8")
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def replace_slow_parts(failing: list[str]) -> None:
    """Heads lie on the atlas already, without a bias field. Its brain is theirs; of no size if `failing`."""
    from latent_anatomy.imaging import atlas, bias, registration, stripping
    from latent_anatomy.imaging.transform import Transform

    def strip(head, atlas, settings, given):
        return atlas.brain, {"brain_ml": 0.0 if failing else 1500.0}

    atlas.load = cache(atlas.load)
    bias.correct = lambda image, settings: (image, {"field_cv": 0.1})
    registration.register = lambda *given: Transform.identity()
    stripping.strip = strip


def prepare(dataset: str, failing: list[str]) -> None:
    """Every step of every subject that is not excluded, the gate and the slices."""
    from importlib import import_module

    from latent_anatomy.datasets import registry as datasets
    from latent_anatomy.jobs.imaging import gate, slab
    from latent_anatomy.jobs.imaging.step import Place
    from latent_anatomy.pipeline.imaging_steps import OF_SUBJECT

    raw, interim = Path("data/raw", dataset), Path("data/interim", dataset)
    jobs, results = Path(".params/imaging", dataset), Path("results/imaging", dataset)
    found = datasets.find(dataset)
    subjects = [each for each in found.subjects if (dataset, each.name) != (DATASET, EXCLUDED)]
    for each in subjects:
        failing[:] = [each.name] if (dataset, each.name) == (DATASET, FAILED) else []
        for step in OF_SUBJECT:
            run = import_module(f"latent_anatomy.jobs.imaging.{step}").run
            run(jobs / f"{step}.json", Place(found, each, raw, interim))
    names = [each.name for each in subjects]
    gate.run(
        jobs / "gate.json", interim, names, list(OF_SUBJECT), results / "qc.csv", results / "passport.json"
    )
    job, sliced = Path(f".params/slice/{dataset}.json"), Path(f"data/slices/{dataset}.h5")
    slab.run(found, job, results / "qc.csv", interim, sliced)


def run_all() -> None:
    """Every job in the current folder, by the functions that the verbs call."""
    import torch

    from latent_anatomy.pipeline import job_files, params

    torch.set_num_threads(1)
    failing: list[str] = []  # who goes through the steps, if it is one to fail
    replace_slow_parts(failing)
    for dataset, splits in SPLITS.items():
        write_folder(Path("data/raw", dataset), splits)
    job_files.write(params.load(Path("params.yaml")))
    for dataset in SPLITS:
        prepare(dataset, failing)
    report_all(LEDGERS[0], train_and_evaluate())
    pictures = sorted(path.as_posix() for path in Path("data/interim").glob("*/*/*/picture.png"))
    tables = [f"results/imaging/{name}/qc.csv" for name in SPLITS]
    report("qc", {"qc_files": tables, "picture_files": pictures})
    index(tables)


if __name__ == "__main__":
    run_all()
