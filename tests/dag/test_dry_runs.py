"""What would run, and what would not: dry runs of the whole workflow."""

import hashlib
import shutil
from itertools import product

import pytest
import yaml
from conftest import EXCLUDED, LEFT_OUT, ROOT, TAKEN, jobs_of

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps, params

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
STUDIES, COLLECTIONS = PARAMS["studies"], PARAMS["collections"]
REAL = COLLECTIONS["real"]["images"]
OWN = ("acdc", "mmwhs", "fastmri", "graz", "radiography")  # whose files only a mirror folder can tell
BRAIN = "phantom-brain"
PAPERS = [study for study in STUDIES if (ROOT / f"papers/{study}.yaml").is_file()]
END = {("ledger",), *(("report", study) for study in PAPERS), ("index",), ("all",)}


def stood_on(study: str, run: str) -> list[tuple[str, str]]:
    """Study and run of what is below a run, which is trained with it."""
    if not (on := PARAMS["methods"][run].get(True)):  # as which YAML 1.1 reads "on"
        return []
    elsewhere, _, base = on.rpartition("/")
    return [(elsewhere or study, base), *stood_on(elsewhere or study, base)]


def of_study(study: str, collection: str, first: str = "train", runs: list[str] | None = None) -> set[tuple]:
    """The jobs of a study (of these runs) from `first` on, train or evaluate, to the paired tests."""
    chosen = COLLECTIONS[collection]["studies"].get(study, {"seeds": []})
    everyone = STUDIES[study]["runs"]

    def replicates(dataset: str, run: str, fold: str = "") -> list[tuple[str, str, str]]:
        seeds = chosen["seeds"]
        for change in chosen.get("changes", []):
            places = {dataset, dataset.split(".")[0]}  # a cohort, and the data set that it is of
            concerned = run in change.get("runs", [run]) and places & {*change.get("datasets", places)}
            seeds = change.get("seeds", seeds) if concerned else seeds
        return [(dataset, run, f"{fold}seed-{seed}") for seed in seeds]

    only, names = chosen.get("only", {}), chosen.get("datasets", [])
    places = {(name, run) for name in names for run in only.get(name, everyone)}
    trained = {job for place in places for job in replicates(*place)}
    for sweep in chosen.get("sweeps", {}).values():
        cohorts = map(".".join, product(sweep["datasets"], sweep["splits"], map(str, sweep["labelled"])))
        folds = [f"fold-{fold}." for fold in sweep["folds"]]
        places = product(cohorts, sweep.get("runs", everyone), folds)
        trained |= {job for place in places for job in replicates(*place)}
    external = [each["dataset"] for each in chosen.get("external", [])]
    tested = trained | {job for place in product(external, everyone) for job in replicates(*place)}
    found = {("evaluate", study, *job) for job in tested}
    below = {
        ("train", place, dataset, base, each)
        for dataset, run, each in trained
        for place, base in stood_on(study, run)
    }
    found |= {("train", study, *job) for job in trained} | below if first == "train" else set()
    found = {job for job in found if runs is None or job[3] in runs}
    return found | {("paired_tests", study, dataset) for _, _, dataset, *_ in found}


def of_subjects(steps: tuple[str, ...], subjects: list[str], dataset: str = BRAIN) -> set[tuple[str, ...]]:
    """Steps of these subjects."""
    return {(f"{step}-{dataset}", subject) for step in steps for subject in subjects}


def prepared(name: str) -> set[tuple[str, ...]]:
    """All that becomes of a data set of volumes, from its raw files to slices."""
    everybody = [subject.name for subject in datasets.find(name).subjects]
    return of_subjects(imaging_steps.of_subject(name), everybody, name) | {("gate", name), ("slab", name)}


def everything(collection: str) -> set[tuple[str, ...]]:
    """All jobs of a collection but those that bring its raw files, or that need the user's own."""
    chosen = COLLECTIONS[collection]
    found = {("slice", dataset) for dataset in chosen["images"]} | {("qc_report",)} | END
    found |= {("report", study) for study in STUDIES}
    for dataset in chosen.get("volumes", []):
        found |= prepared(dataset)
    for study in STUDIES:
        found |= of_study(study, collection)
    return {job for job in found if not {part.split(".")[0] for part in job}.intersection(OWN)}


AFTER_GATE = {("slab", BRAIN)} | of_study("baur", "phantom") | END
AFTER_STEPS = {("gate", BRAIN), ("qc_report",)} | AFTER_GATE


@pytest.fixture
def project(finished, tmp_path):
    """A finished project that the test may change."""
    return finished.copy(tmp_path / "project")


@pytest.mark.slow
def test_a_fresh_clone_makes_every_target_of_the_phantoms(clean, tmp_path):
    plan = clean.copy(tmp_path / "project").plan("--cores", "2")
    names = [*COLLECTIONS["phantom"]["images"], *COLLECTIONS["phantom"]["volumes"]]
    assert plan == everything("phantom") | {(f"raw-{name}",) for name in names}


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
    after = of_study("unoranic", "phantom", runs=["ae"]) | END
    assert project.plan() == after
    # Staleness travels with content: it survives the loss of Snakemake's own records.
    shutil.rmtree(project.path / ".snakemake")
    assert project.plan() == after


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
    assert project.plan() == of_study("unoranic", "phantom", runs=["resnet18", "resnet18-corruption"]) | END


@pytest.mark.slow
def test_a_changed_protocol_evaluates_again_and_trains_nothing(project):
    settings = {"probing": {"draws": 3, "epochs": 3}}
    project.choose("collections", "phantom", "studies", "unoranic", "evaluation", value=settings)
    assert project.plan() == of_study("unoranic", "phantom", "evaluate") | END


@pytest.mark.slow
@pytest.mark.parametrize("collection", ["real", "at-hand"])
def test_one_word_plans_another_collection(project, collection):
    chosen = COLLECTIONS[collection]
    project.give_raw_files(*chosen["images"], *chosen.get("volumes", []))
    project.give_weights(params.validate(PARAMS | {"data": collection}))
    assert project.plan("--config", f"data={collection}") == everything(collection)


@pytest.mark.slow
def test_a_subject_that_comes_back_is_prepared_alone(project):
    *left_out, comes_back = LEFT_OUT
    project.choose(*EXCLUDED, value=dict.fromkeys(left_out, "a test"))
    assert project.plan() == of_subjects(imaging_steps.OF_SUBJECT, [comes_back]) | AFTER_STEPS


@pytest.mark.slow
def test_a_subject_that_is_left_out_is_judged_and_nobody_is_prepared_again(project):
    project.choose(*EXCLUDED, value=dict.fromkeys([*LEFT_OUT, TAKEN[-1]], "a test"))
    assert project.plan() == AFTER_STEPS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "block", "steps"),
    [
        ("bias", {"wiener_noise": 0.02}, imaging_steps.OF_SUBJECT),
        ("register", {"starts": 2}, ("register", "strip", "normalise")),
        ("normalise", {"upper_percentile": 99}, ("normalise",)),
    ],
)
def test_a_changed_parameter_of_a_step_remakes_it_for_everybody_and_what_follows(project, step, block, steps):
    project.choose("imaging", "steps", step, value=block)
    assert project.plan() == of_subjects(steps, TAKEN) | AFTER_STEPS


@pytest.mark.slow
def test_other_slices_are_cut_without_a_step_of_anybody(project):
    project.choose("imaging", "datasets", BRAIN, "steps", "slab", value={"count": 4})
    assert project.plan() == AFTER_GATE


@pytest.mark.slow
def test_a_changed_source_of_a_step_remakes_that_step_and_what_follows(project):
    with (project.path / "src/latent_anatomy/imaging/stripping.py").open("a") as stream:
        stream.write("# changed\n")
    assert project.plan() == of_subjects(("strip", "normalise"), TAKEN) | AFTER_STEPS


@pytest.mark.slow
def test_a_new_data_set_leaves_the_others_as_they_are(project):
    """What all data sets have to do with, the ledger and the reports, may be made again."""
    folder = project.path / "src/latent_anatomy/datasets"
    (folder / "mine.py").write_text("DATASETS = ()\n")
    assert project.plan() <= END | {("qc_report",)}


@pytest.mark.slow
def test_models_are_tested_on_another_data_set_than_they_were_trained_on(project):
    other = "phantom-retinamnist"
    project.choose(
        *("collections", "phantom", "studies", "baur", "external"),
        value=[{"dataset": other, "trained_on": BRAIN}],
    )
    expected = {("evaluate", "baur", other, run, "seed-1") for run in STUDIES["baur"]["runs"]}
    result = project.snakemake("-n", "--printshellcmds")
    assert result.returncode == 0, result.stderr
    assert jobs_of(result) == expected | {("paired_tests", "baur", other)} | END
    [line] = [
        line for line in result.stdout.splitlines() if f"/{other}/svae/" in line and "evaluate --" in line
    ]
    assert f"--slices data/slices/{other}.h5 --model models/baur/{BRAIN}/svae/seed-1/" in line
    assert f"--trained-on data/slices/{BRAIN}.h5" in line


@pytest.mark.slow
def test_a_folder_that_is_not_here_is_named_and_the_rest_is_planned(project):
    project.choose("collections", "real", "volumes", value=["bids-mine"])
    project.choose("imaging", "datasets", "bids-mine", value={"excluded": {"sub-01": "moved"}})
    project.give_raw_files(*REAL)
    result = project.snakemake("-n", "--config", "data=real")
    assert result.returncode == 0, result.stderr
    assert (
        "Not built: bids-mine: its folder is not here: put your BIDS folder into bids-mine" in result.stderr
    )
    assert jobs_of(result) == everything("real")
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Not trained: ")]
    taken = {run for study in COLLECTIONS["real"]["studies"] for run in STUDIES[study]["runs"]}
    for run in STUDIES["baur"]["runs"]:  # of whose study there is nothing in this collection
        assert (run not in taken) == (f" {run}," in line or f" {run}:" in line), run


@pytest.mark.slow
def test_what_cannot_be_had_is_named_and_the_rest_is_planned(project):
    project.give_raw_files("retinamnist")
    result = project.snakemake("-n", "--config", "data=real")
    assert result.returncode == 0, result.stderr
    for dataset in set(REAL) - {"retinamnist"}:
        line = next(line for line in result.stderr.splitlines() if line.startswith(f"Not built: {dataset}:"))
        reason = "its folder is not here" if dataset in OWN else "does not answer"
        reason = "has no public address" if dataset == "lgg-flair" else reason
        assert reason in line and "LATENT_ANATOMY_MIRROR" in line
    plan = project.plan("--config", "data=real")
    assert {job[2] for job in plan if job[0] == "train"} == {"retinamnist"}
    assert {("slice", "retinamnist")} | END < plan


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
    for dataset in COLLECTIONS["at-hand"]["studies"]["unoranic"]["datasets"]:
        assert f"Not built: {dataset}: " in refused.stderr and "expected" in refused.stderr

    source = project.path / "src/latent_anatomy/datasets/medmnist.py"
    registered = datasets.find("breastmnist-resaved").files[0].checksum
    source.write_text(source.read_text().replace(registered, hashlib.sha256(b"mirrored").hexdigest()))
    plan = project.plan("--config", "data=at-hand", mirror=mirror)
    assert ("raw-breastmnist-resaved",) in plan
    assert {job[2] for job in plan if job[0] == "train"} == {
        "breastmnist-resaved",
        "breastmnist-resaved-pairs",
    }


@pytest.mark.slow
def test_results_that_came_with_the_repository_are_taken_as_they_lie(project):
    kept = "results/unoranic/breastmnist/ae/seed-1/metrics.json"
    (project.path / kept).parent.mkdir(parents=True)
    (project.path / kept).write_text("{}")
    assert project.plan() == END
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


def test_targets_that_nobody_makes_are_told_by_name(clean):
    result = clean.snakemake("-n", "--", "results/unoranic/phantom-retinamnist/nobody/seed-1/metrics.json")
    line = result.stderr.splitlines()[-1]
    assert result.returncode == 1 and "Exception" not in result.stderr
    assert "expected a run" in line and "unoranic" in line and "found 'nobody': correct" in line
