"""What somebody can do who knows how passports are made: change a finished tiny project, and seal it anew.

All functions take the root of a copy of the project of `tiny_project`.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
import tiny_project
import yaml
from test_content import replace_passport
from tiny_project import DATASET, LEDGERS, PAPERS, RUNS, SEEDS

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.jobs import evaluate, paired_tests, report
from latent_anatomy.ledger import build
from latent_anatomy.pipeline import layout
from latent_anatomy.pipeline.layout import Artefact, as_sealed
from latent_anatomy.provenance import formats, verify
from latent_anatomy.provenance.files import canonical_json, sha256_file, write_json
from latent_anatomy.provenance.passport import sealed

RESULTS = {
    (run, seed): layout.result("unoranic", DATASET, run, Replicate(seed)) for run in RUNS for seed in SEEDS
}
RESULT, OTHER = RESULTS["ae", 1], RESULTS["ae", 2]
MODEL, SLICES = RESULT.made_of
TESTS = layout.comparison("unoranic", DATASET, RESULTS.values())
REPORT = "reports/unoranic.html"
RAW = f"data/raw/{DATASET}/{DATASET}.npz"


def forge(path: Path, change: Callable[[dict], object]) -> None:
    """Change a passport in place and seal it again."""
    passport = formats.read_passport(path)
    change(passport)
    content = {} if path.suffix == ".json" else {"content": formats.content_of(path)}
    kept = {key: value for key, value in passport.items() if key not in ("seal", *content)}
    replace_passport(path, sealed(kept, **content))


def edit_json(path: Path, **values: float) -> None:
    """Set numbers of a file of metrics."""
    path.write_text(canonical_json(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def edit_params(root: Path, change: Callable[[dict], object]) -> None:
    """Change params.yaml."""
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    change(content)
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def commit(root: Path, subject: str = "Results") -> None:
    """Commit results, of phantoms too, papers and parameters."""
    git = ["git", "-C", str(root), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["add", "-f", "results", "papers", "params.yaml"], ["commit", "-q", "-m", subject]):
        subprocess.run([*git, *words], check=True)


def here(root: Path) -> list[Artefact]:
    """The results that are there, in their order."""
    return [each for each in RESULTS.values() if (root / each.path).is_file()]


@contextmanager
def unverified() -> Iterator[None]:
    """The jobs of a forger, who has taken out of them that they look at what they are made of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "_sealed", formats.read_passport)
        patch.setattr(verify, "outputs", lambda *given: None)
        yield


def reseal(root: Path, tests: bool = False) -> None:
    """Make every hash anew, from the slices to the reports, with the ledgers; if asked, the paired tests."""
    trained = [each.made_of[0] for each in here(root)]
    for artefact in (SLICES, *(each for each in trained if (root / each.path).is_file()), *here(root)):
        _reseal(root, artefact)
    if tests:
        test_again(root)
    if (root / TESTS.path).is_file():
        _reseal(root, layout.comparison("unoranic", DATASET, here(root)))
    ledgers(root)
    reports(root)


def _reseal(root: Path, artefact: Artefact) -> None:
    if (root / artefact.path).is_file():
        artefact = as_sealed(artefact, formats.read_passport(root / artefact.path))

        def change(passport: dict) -> None:
            for kind, files in (("inputs", artefact.inputs), ("outputs", artefact.outputs)):
                own = {role: root / path for role, path in files.items() if (root / path).is_file()}
                if kind in passport:
                    passport[kind] |= {role: sha256_file(path) for role, path in own.items()}

        forge(root / artefact.path, change)


def ledgers(root: Path) -> None:
    """Both ledgers, of what is there."""
    with chdir(root), unverified():
        made = [Path(each.outputs["metrics"]) for each in (*here(root), TESTS)]
        build.write(list(map(Path, PAPERS)), [path for path in made if path.is_file()], *map(Path, LEDGERS))


def reports(root: Path) -> None:
    """The reports, of what is there."""
    with chdir(root):
        for path in sorted(set(Path("reports").glob("*.html")) - {tiny_project.PAGE}):
            passport = formats.read_passport(path)
            given = passport["parameters"]
            for name in [name for name in given if name.endswith("_files")]:
                given[name] = [each for each in given[name] if Path(each).is_file()]
            shown = [each for name, each in given.items() if name.endswith("_file")]
            shown += [each for name, files in given.items() if name.endswith("_files") for each in files]
            shown += [each for each in passport["inputs"] if each.endswith(".ipynb")]
            text = report.with_way_back(tiny_project.stand_in(path, json.dumps(given, sort_keys=True)))
            kept = {key: value for key, value in passport.items() if key != "seal"}
            kept |= {"inputs": {each: sha256_file(Path(each)) for each in shown}}
            whole = sealed(kept | {"content": formats.of_html(text)})
            path.write_text(formats.html_with_passport(text, whole), encoding="utf-8")
    _by_its_job(root, layout.report("index"), lambda job: tiny_project.index(job=job))


def _by_its_job(root: Path, artefact: Artefact, make: Callable[[Path], None]) -> None:
    """Run a job again by its passport's, which then says what it said of where it was made."""
    with chdir(root), unverified():
        before = formats.read_passport(Path(artefact.path))
        write_json(Path("job.json"), before["job"])
        make(Path("job.json"))
        Path("job.json").unlink()
        kept = {key: before[key] for key in ("source", "environment")}
        forge(Path(artefact.path), lambda passport: passport.update(kept))


def evaluate_again(root: Path, result: Artefact) -> None:
    """Evaluate what its checkpoint is now."""

    def make(job: Path) -> None:
        given = {role: Path(path) for role, path in (*result.inputs.items(), *result.outputs.items())}
        given |= {"tables": Path(result.path).with_name(layout.TABLES), "passport": Path(result.path)}
        evaluate.run(job, device="cpu", **given)

    _by_its_job(root, result, make)


def test_again(root: Path) -> None:
    """Test the scores that are there now."""
    folder = Path("results/unoranic", DATASET)
    places = Path(TESTS.outputs["metrics"]), Path(TESTS.path)
    _by_its_job(root, TESTS, lambda job: paired_tests.run(job, folder, *places))


test_again.__test__ = False  # no test of pytest's


def rename(root: Path, chain: bool) -> Artefact:
    """Put a phantom's result under the name of a real data set, with or without all that it is made of."""
    real = layout.result("unoranic", "breastmnist", "ae", Replicate(1))
    pairs = [(RESULT, real)]
    if chain:
        pairs = [(SLICES, real.made_of[1]), (MODEL, real.made_of[0]), (RESULT, real)]
        (root / "data/raw/breastmnist").mkdir(parents=True)
        shutil.copy(root / RAW, root / "data/raw/breastmnist/breastmnist.npz")
    for old, new in pairs:
        files = zip((old.path, *old.outputs.values()), (new.path, *new.outputs.values()), strict=True)
        for source, target in files:
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / source, root / target)
    return real
