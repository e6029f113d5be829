"""For each of 15 types of files, a job that reads it, and what it makes as one text to compare."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BIDS = "bids-tiny"
STUDY, DATASET, RUN = "unoranic", "phantom-breastmnist", "ae"
PLACE, TWIN = (f"{STUDY}/{DATASET}/{RUN}/seed-{seed}" for seed in (1, 2))
OUT = Path("again")


class Target(NamedTuple):
    """A file, the job that reads it, a file of the same type; and whether other content is another choice."""

    file: str
    run: Callable[[], str]
    twin: str | None = None
    choice: bool = False


def planned() -> str:
    from latent_anatomy.pipeline import params, resolve

    return json.dumps(resolve.resolve(params.load(Path("params.yaml"))), sort_keys=True)


def sliced() -> str:
    from latent_anatomy.jobs import slice
    from latent_anatomy.provenance.formats import content_of

    slice.run(DATASET, Path("data/raw", DATASET), Path(f".params/slice/{DATASET}.json"), OUT / "slices.h5")
    return content_of(OUT / "slices.h5")


def trained() -> str:
    from latent_anatomy.jobs import train
    from latent_anatomy.provenance.formats import content_of

    model = OUT / "model.safetensors"
    train.run(
        Path(f".params/train/{PLACE}.json"),
        Path(f"data/slices/{DATASET}.h5"),
        model,
        OUT / "history.csv",
        Path(".scratch"),
        "cpu",
    )
    return content_of(model)


def evaluated() -> str:
    from latent_anatomy.jobs import evaluate

    evaluate.run(
        Path(f".params/evaluate/{PLACE}.json"),
        Path(f"data/slices/{DATASET}.h5"),
        Path(f"models/{PLACE}/model.safetensors"),
        *(OUT / name for name in ("metrics.json", "scores.npz", "arrays.npz", "tables", "passport.json")),
        device="cpu",
    )
    return (OUT / "metrics.json").read_text()


def tested() -> str:
    from latent_anatomy.jobs import paired_tests

    paired_tests.run(
        Path(f".params/paired-tests/{STUDY}/{DATASET}.json"),
        Path(f"results/{STUDY}/{DATASET}"),
        OUT / "metrics.json",
        OUT / "passport.json",
    )
    return (OUT / "metrics.json").read_text()


def compared() -> str:
    from latent_anatomy.ledger import build

    papers = sorted(Path("papers").glob("*.yaml"))
    metrics = sorted(Path("results").rglob("metrics.json"))
    build.write(papers, metrics, OUT / "ledger.csv", OUT / "phantom.csv")
    return (OUT / "ledger.csv").read_text() + (OUT / "phantom.csv").read_text()


def reported() -> str:
    from latent_anatomy.provenance.files import digest
    from latent_anatomy.reports import study

    def below(folder: str, name: str) -> list[str]:
        return [str(path) for path in sorted(Path(folder, STUDY, DATASET).rglob(name))]

    made = [
        below("results", "metrics.json"),
        below("results", "arrays.npz"),
        below("models", "history.csv"),
    ]
    paper, ledger = f"papers/{STUDY}.yaml", "results/ledger-phantom.csv"
    report = study.read(STUDY, True, *made, papers_file=paper, ledger_file=ledger)
    read = [study._arrays(path, "") for path in made[1]] + [study.history(path) for path in made[2]]
    content = [{name: [str(each.dtype), each.tolist()] for name, each in one.items()} for one in read]
    return digest([str(report.rows), str(content)])


def proven(path: str) -> Callable[[], str]:
    def run() -> str:
        from latent_anatomy.provenance import formats

        passport = formats.read_passport(Path(path))
        if "content" in passport and passport["content"] != formats.content_of(Path(path)):
            raise ValueError(f"{path}: expected its own passport, found that of another content")
        return json.dumps(passport, sort_keys=True)

    return run


def fetched() -> str:
    from latent_anatomy.data.fetch import fetch
    from latent_anatomy.datasets import bids
    from latent_anatomy.imaging import volume
    from latent_anatomy.provenance.files import sha256_file

    dataset, raw = bids.Bids(BIDS), OUT / "raw"
    fetch(dataset, raw, Path("mirror"), progress=False)
    for subject in dataset.subjects:
        for name in subject.files:
            volume.parse(raw / name)
    made = {file.name: sha256_file(raw / file.name) for file in dataset.files if file.name != "SHA256SUMS"}
    return json.dumps([str(dataset.subjects), made], sort_keys=True)


def cleaned(run: Callable[[], str]) -> Callable[[], str]:
    """The same in an empty folder for what it makes."""

    def clean() -> str:
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir()
        return run()

    return clean


WHO = "sub-01/anat/sub-01"
TARGETS = {
    "params.yaml": Target("params.yaml", planned, choice=True),
    "paper (YAML)": Target(f"papers/{STUDY}.yaml", cleaned(compared), choice=True),
    "job (JSON)": Target(f".params/train/{PLACE}.json", cleaned(trained), f".params/train/{TWIN}.json"),
    "raw npz": Target(f"data/raw/{DATASET}/{DATASET}.npz", cleaned(sliced)),
    "slices (HDF5)": Target(f"data/slices/{DATASET}.h5", cleaned(trained)),
    "model (safetensors)": Target(
        f"models/{PLACE}/model.safetensors", cleaned(evaluated), f"models/{TWIN}/model.safetensors"
    ),
    "scores (npz)": Target(f"results/{PLACE}/scores.npz", cleaned(tested), f"results/{TWIN}/scores.npz"),
    "metrics (JSON)": Target(
        f"results/{PLACE}/metrics.json", cleaned(compared), f"results/{TWIN}/metrics.json"
    ),
    "arrays (npz)": Target(f"results/{PLACE}/arrays.npz", reported, f"results/{TWIN}/arrays.npz"),
    "history (CSV)": Target(f"models/{PLACE}/history.csv", reported, f"models/{TWIN}/history.csv"),
    "passport (JSON)": Target(f"results/{PLACE}/passport.json", proven(f"results/{PLACE}/passport.json")),
    "report (HTML)": Target(f"reports/{STUDY}.html", proven(f"reports/{STUDY}.html")),
    "participants.tsv": Target(f"mirror/{BIDS}/participants.tsv", cleaned(fetched)),
    "SHA256SUMS": Target(f"mirror/{BIDS}/SHA256SUMS", cleaned(fetched)),
    "head (NIfTI)": Target(f"mirror/{BIDS}/{WHO}_FLAIR.nii.gz", cleaned(fetched)),
}
