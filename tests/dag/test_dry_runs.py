"""What would run, and what would not: dry runs of the whole workflow."""

import hashlib
import shutil

import pytest
import yaml
from conftest import ROOT

from latent_anatomy import datasets

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
STUDY = PARAMS["studies"]["unoranic"]
COLLECTIONS = {name: each["studies"]["unoranic"] for name, each in PARAMS["collections"].items()}
REAL = COLLECTIONS["real"]["datasets"]
AT_HAND = COLLECTIONS["at-hand"]["datasets"]


def jobs_after(rule: str, runs: list[str], collection: str = "phantom") -> set[tuple[str, ...]]:
    """The jobs of `runs` from `rule` (train or evaluate) on, to the report."""
    chosen = COLLECTIONS[collection]
    rules = {"train": ("train", "evaluate"), "evaluate": ("evaluate",)}[rule]
    each = {
        (name, "unoranic", dataset, run, str(seed))
        for name in rules
        for run in runs
        for dataset in chosen["datasets"]
        for seed in chosen["seeds"]
    }
    tested = {("paired_tests", "unoranic", dataset) for dataset in chosen["datasets"]}
    return each | tested | {("ledger",), ("report", "unoranic"), ("all",)}


def everything(collection: str, raw: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """All jobs of a collection; `raw` are those that bring its raw files."""
    sliced = {("slice", dataset) for dataset in COLLECTIONS[collection]["datasets"]}
    return jobs_after("train", STUDY["runs"], collection) | sliced | raw


@pytest.fixture
def project(finished, tmp_path):
    """A finished project that the test may change."""
    return finished.copy(tmp_path / "project")


@pytest.mark.slow
def test_a_fresh_clone_makes_every_target_of_the_phantoms(clean, tmp_path):
    plan = clean.copy(tmp_path / "project").plan("--cores", "2")
    assert plan == everything(
        "phantom", {(f"raw-{dataset}",) for dataset in COLLECTIONS["phantom"]["datasets"]}
    )


@pytest.mark.slow
def test_a_finished_project_has_nothing_to_do_and_its_job_files_stay_untouched(project):
    def times() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (project.path / ".params").rglob("*.json")}

    before = times()
    assert before
    assert project.plan("--cores", "8", "--resources", "gpu=1") == set()
    assert times() == before


@pytest.mark.slow
def test_a_changed_parameter_of_a_method_remakes_that_run_and_what_follows(project):
    project.choose("methods", "ae", "latent", value=128)
    assert project.plan() == jobs_after("train", ["ae"])
    # Staleness travels with content: it survives the loss of Snakemake's own records.
    shutil.rmtree(project.path / ".snakemake")
    assert project.plan() == jobs_after("train", ["ae"])


@pytest.mark.slow
def test_a_parameter_that_is_changed_back_remakes_nothing(project):
    project.choose("methods", "ae", "latent", value=128)
    assert project.plan() != set()
    project.choose("methods", "ae", "latent", value=None)
    assert project.plan() == set()


@pytest.mark.slow
def test_a_changed_source_of_a_method_remakes_the_runs_of_that_method(project):
    with (project.path / "src/latent_anatomy/methods/resnet18.py").open("a") as stream:
        stream.write("# changed\n")
    assert project.plan() == jobs_after("train", ["resnet18", "resnet18-corruption"])


@pytest.mark.slow
def test_a_changed_protocol_evaluates_again_and_trains_nothing(project):
    settings = {"probing": {"draws": 3, "epochs": 3}}
    project.choose("collections", "phantom", "studies", "unoranic", "evaluation", value=settings)
    assert project.plan() == jobs_after("evaluate", STUDY["runs"])


@pytest.mark.slow
def test_one_word_plans_the_papers_data(project):
    project.give_raw_files(*REAL)
    assert project.plan("--config", "data=real") == everything("real", set())


@pytest.mark.slow
def test_what_cannot_be_had_is_named_and_the_rest_is_planned(project):
    project.give_raw_files("retinamnist")
    result = project.snakemake("-n", "--config", "data=real")
    assert result.returncode == 0, result.stderr
    for dataset in set(REAL) - {"retinamnist"}:
        line = next(line for line in result.stderr.splitlines() if line.startswith(f"Not built: {dataset}:"))
        assert "does not answer" in line and "LATENT_ANATOMY_MIRROR" in line
    plan = project.plan("--config", "data=real")
    assert {job[2] for job in plan if job[0] == "train"} == {"retinamnist"}
    assert {("slice", "retinamnist"), ("ledger",), ("report", "unoranic")} < plan


@pytest.mark.slow
def test_nothing_at_all_to_be_had_is_an_error(clean, tmp_path):
    result = clean.copy(tmp_path / "project").snakemake("-n", "--config", "data=real")
    assert result.returncode == 1
    assert result.stderr.count("Not built: ") == len(REAL)
    assert "none of the data sets of 'real' can be had" in result.stderr


@pytest.mark.slow
def test_a_mirror_folder_is_used_and_a_wrong_file_in_it_is_refused(project, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in ("BreastMNIST_resaved.npz", "pneumoniamnist_reassembled.npz", "retinamnist.npz"):
        (mirror / name).write_bytes(b"mirrored")
    refused = project.snakemake("-n", "--config", "data=at-hand", mirror=mirror)
    assert refused.returncode == 1
    for dataset in AT_HAND:
        assert f"Not built: {dataset}: " in refused.stderr and "expected" in refused.stderr

    source = project.path / "src/latent_anatomy/datasets/medmnist.py"
    registered = datasets.find("breastmnist-resaved").files[0].checksum
    source.write_text(source.read_text().replace(registered, hashlib.sha256(b"mirrored").hexdigest()))
    plan = project.plan("--config", "data=at-hand", mirror=mirror)
    assert ("raw-breastmnist-resaved",) in plan
    assert {job[2] for job in plan if job[0] == "train"} == {"breastmnist-resaved"}


@pytest.mark.slow
def test_results_that_came_with_the_repository_are_taken_as_they_lie(project):
    kept = "results/unoranic/breastmnist/ae/seed-1/metrics.json"
    (project.path / kept).parent.mkdir(parents=True)
    (project.path / kept).write_text("{}")
    assert project.plan() == {("ledger",), ("report", "unoranic"), ("all",)}
    assert project.snakemake("--cores", "1", "--quiet").returncode == 0
    assert kept in (project.path / "results/ledger.csv").read_text()
    assert "results/unoranic/phantom-" in (project.path / "results/ledger.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "value"), [(("methods", "ae", "latents"), 128), (("training", "precision"), "fp8")]
)
def test_a_mistake_in_the_parameters_is_one_line_before_anything_runs(project, keys, value):
    project.choose(*keys, value=value)
    result = project.snakemake("--cores", "1")
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("params.yaml: ")]
    assert len(lines) == 1 and ".".join(keys) in lines[0]
    assert "Traceback" not in result.stderr and "Finished job" not in result.stderr
