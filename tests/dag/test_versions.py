"""DVC over the same DAG: the same files, exactly what depends on a change, and versions that come back."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rich_project
import yaml
from conftest import EVERYBODY, ROOT, Project

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps, params
from latent_anatomy.pipeline.volume_files import BESIDE, files_of
from latent_anatomy.versions import plan, stages

DATASET, RUNS, BRAIN, MODEL = "phantom-breastmnist", ("unoranic", "ae"), "phantom-brain", "intensity"
AE = f"unoranic/{DATASET}/ae/seed-1"
HEARTS, SWEPT = "phantom-acdc", {"splits": ["fold"], "folds": [0], "labelled": [25], "runs": ["unet"]}
REPORTS = {f"report/{study}" for study in ("unoranic", "baur", "sdnet", "ra", "rotation", "index")}
AFTER_AE = {f"train/{AE}", f"evaluate/{AE}", f"paired-tests/unoranic/{DATASET}", "ledger", *REPORTS}
AFTER_IMAGING = {
    f"imaging/{BRAIN}",
    f"slice/{BRAIN}",
    f"train/baur/{BRAIN}/{MODEL}/seed-1",
    f"evaluate/baur/{BRAIN}/{MODEL}/seed-1",
    f"evaluate/baur/{DATASET}/{MODEL}/seed-1",
    f"paired-tests/baur/{BRAIN}",
    f"paired-tests/baur/{DATASET}",
    "ledger",
    *REPORTS,
    "report/qc",
}
FILES_OF_A_SUBJECT = sum(
    len([*files_of(datasets.find(BRAIN), step), *BESIDE]) for step in imaging_steps.of_subject(BRAIN)
)


def dvc(project: Project, *words: str) -> str:
    """Output of a `dvc` command, which must succeed."""
    return succeeded(project.dvc(*words))


def git(project: Project, *words: str) -> str:
    return succeeded(project.run("git", "-c", "user.name=t", "-c", "user.email=t@t", *words))


def succeeded(result: subprocess.CompletedProcess) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def jobs_run(output: str) -> set[str]:
    """Stages whose command ran, less the one that writes the jobs' files."""
    return set(re.findall(r"^Running stage '(.+)':", output, re.MULTILINE)) - {"parameters"}


def shorten(project: Project) -> None:
    """Images with two runs; volumes of two subjects with one, which is tested on the images too; a cohort."""
    content = yaml.safe_load((project.path / "params.yaml").read_text())
    content["studies"]["unoranic"] = {"runs": list(RUNS), "evaluation": {"reconstruction": {}}}
    content["studies"]["baur"] = {"runs": [MODEL], "evaluation": {"lesions": {}}}
    content["studies"]["sdnet"] = {"runs": ["unet"], "evaluation": {"segmentation": {}}}
    sweeps = {"quarter": {"datasets": [HEARTS], **SWEPT}}
    excluded = dict.fromkeys(EVERYBODY[3:], "a test")
    content["imaging"]["datasets"] = {BRAIN: content["imaging"]["datasets"][BRAIN] | {"excluded": excluded}}
    external = [{"dataset": DATASET, "trained_on": BRAIN}]
    content["collections"] = {
        "phantom": {
            "images": [DATASET, HEARTS],
            "volumes": [BRAIN],
            "studies": {
                "unoranic": {"datasets": [DATASET], "seeds": [1]},
                "baur": {"datasets": [BRAIN], "external": external, "seeds": [1]},
                "sdnet": {"sweeps": sweeps, "seeds": [1]},
            },
        }
    }
    change(project, content)


def change(project: Project, content: dict) -> None:
    """Write this params.yaml, and dvc.yaml as it follows from it."""
    text = yaml.safe_dump(content, sort_keys=False)
    # PyYAML reads the key `on` as true, DVC does not, and sorts the keys.
    (project.path / "params.yaml").write_text(re.sub(r"^( +)true:", r"\1'on':", text, flags=re.MULTILINE))
    succeeded(project.sync("stages"))


@pytest.fixture(scope="session")
def recorded(clean, made_once) -> Project:
    """A small project that Snakemake made, recorded and committed. Not to be changed: clone or copy it."""

    def make(folder: Path) -> None:
        project = clean.copy(folder)
        shorten(project)
        git(project, "init", "--quiet")
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--message=pipeline")
        succeeded(project.snakemake("--cores", "2", "--quiet"))
        succeeded(project.sync("record"))
        git(project, "commit", "--quiet", "--message=results")
        assert git(project, "status", "--short") == ""

    return Project(made_once("recorded", make), clean.commands)


@pytest.fixture
def project(recorded, tmp_path) -> Project:
    """The recorded project, which the test may change."""
    return recorded.copy(tmp_path / "project")


def jobs_of_snakemake(project: Project, mirror: Path) -> list[tuple[set[str], set[str]]]:
    """Inputs and outputs of every job that there is."""
    plan = succeeded(project.snakemake("--dry-run", "--forceall", mirror=mirror))
    blocks = re.findall(r"^rule [\w-]+:\n((?: +.*\n)*)", plan, re.MULTILINE)

    def files(kind: str, block: str) -> set[str]:
        line = re.search(rf"^    {kind}: (.*)$", block, re.MULTILINE)
        return set(line[1].split(", ")) if line else set()

    return [(files("input", block), made) for block in blocks if (made := files("output", block))]


def other_names(content: dict) -> None:
    """A study, a collection and sweeps of new names; seeds; models that are tested elsewhere too."""
    content["methods"]["narrow"] = {"method": "autoencoder", "latent": 8}
    content["studies"]["mine"] = {"runs": ["narrow", "ae"], "evaluation": {"reconstruction": {}}}
    elsewhere = [{"dataset": "phantom-retinamnist", "trained_on": "phantom-dermamnist"}]
    swept = {"datasets": [HEARTS], **SWEPT}
    content["collections"]["ours"] = {
        "images": ["phantom-dermamnist", "phantom-retinamnist", HEARTS],
        "studies": {
            "mine": {"datasets": ["phantom-dermamnist"], "external": elsewhere, "seeds": [1, 4]},
            "sdnet": {"sweeps": {"a": swept, "b": swept | {"labelled": [50]}}, "seeds": [2]},
        },
    }
    content |= {"data": "ours", "imaging": {}}


def all_that_a_run_may_be_made_of(content: dict) -> None:
    """Other runs, weights of others, a pool of data sets."""
    content |= rich_project.content()


def at_hand(content: dict) -> None:
    """Volumes that their publisher has prepared, that have one image, or that no study uses."""
    content["data"] = "at-hand"


@pytest.mark.slow
@pytest.mark.parametrize("edit", [None, other_names, all_that_a_run_may_be_made_of, at_hand])
def test_both_tools_make_the_same_files_of_the_same_whatever_params_yaml_says(
    clean, tmp_path, monkeypatch, request, edit
):
    from dvc.repo import Repo

    project = clean.copy(tmp_path / "project")
    git(project, "init", "--quiet")
    file = project.path / "params.yaml"
    if edit is not None:
        content = yaml.safe_load(file.read_text())
        edit(content)
        file.write_text(yaml.safe_dump(content))
    if edit is all_that_a_run_may_be_made_of:
        rich_project.write_methods(project.path / "src/latent_anatomy")
        request.getfixturevalue("with_methods")
    chosen = params.load(file)
    project.give_raw_files(*chosen.collection.datasets)
    if edit is at_hand:
        project.give_weights(chosen)
    jobs = jobs_of_snakemake(project, rich_project.mirror(tmp_path / "mirror"))
    monkeypatch.chdir(project.path)
    stages.write(chosen)
    with Repo() as repo:
        made = {stage.addressing: {out.def_path for out in stage.outs} for stage in repo.index.stages}
        cached = {out.def_path for out in repo.index.outs if out.use_cache}
        read = {stage.addressing: {dep.def_path for dep in stage.deps} for stage in repo.index.stages}
    made.pop("parameters")

    def covering(path: str, places: set[str]) -> set[str]:
        return {place for place in places if path == place or path.startswith(f"{place}/")}

    used = set()
    for inputs, outputs in jobs:
        [stage] = {stage for stage, places in made.items() for path in outputs if covering(path, places)}
        assert all(covering(path, made[stage]) for path in outputs)
        used |= {place for path in outputs for place in covering(path, made[stage])}
        published = stage.startswith("raw/") and not inputs  # whose checksums DVC alone looks at
        assert (
            published or {path for path in inputs if not covering(path, read[stage] | made[stage])} == set()
        )
    assert used == set.union(*made.values())
    everything = set.union(*made.values(), {".params"})
    for place in set.union(*read.values()):  # nothing waits for what a fresh clone lacks and no stage makes
        assert (
            covering(place, everything)
            or any(covering(path, {place}) for path in everything)
            or (project.path / place).exists()
        )
    if edit is at_hand:  # of real data: what git is not to have is in DVC's cache, and nothing else is
        folders = [path if Path(path).suffix else f"{path}/" for path in {".params"}.union(*made.values())]
        ignored = git(project, "check-ignore", "--no-index", "--", *folders).split()
        by_force = {"results/ledger-phantom.csv"}  # as all that git has of phantoms
        assert {path.rstrip("/") for path in ignored} - by_force == cached
    if edit is other_names:
        assert "evaluate/mine/phantom-retinamnist/narrow/seed-4" in made
        assert "paired-tests/sdnet/phantom-acdc.fold.50" in made


def test_the_committed_stages_are_those_of_params_yaml(monkeypatch):
    monkeypatch.chdir(ROOT)
    chosen = params.load(Path("params.yaml"))
    assert stages.agree(chosen), "dvc.yaml is not that of params.yaml: latent-anatomy sync stages"
    plots = {path for plot in yaml.safe_load(stages.text(chosen))["plots"] for path in plot}
    tables = f"results/unoranic/{DATASET}/{{}}/seed-1/tables/{{}}.csv"
    assert tables.format("ae", "revision.psnr") in plots and tables.format("ae", "probing.roc") in plots
    assert tables.format("resnet18", "classification.roc") in plots
    assert tables.format("resnet18", "revision.psnr") not in plots  # it reconstructs nothing


@pytest.mark.slow
def test_a_commit_of_params_yaml_carries_its_stages(tmp_path):
    for name in ("params.yaml", "dvc.yaml", "papers", "notebooks", ".githooks"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "latent-anatomy").write_text(f'#!/bin/sh\nexec {sys.executable} -m latent_anatomy "$@"\n')
    (commands / "latent-anatomy").chmod(0o755)
    project = Project(tmp_path, commands)
    (tmp_path / "src").symlink_to(ROOT / "src")
    git(project, "init", "-q")
    git(project, "config", "core.hooksPath", ".githooks")
    project.choose("collections", "phantom", "studies", "baur", "seeds", value=[7])
    git(project, "add", "params.yaml")
    git(project, "commit", "-m", "Another seed")
    assert "phantom-brain/sae3/seed-7" in git(project, "show", "HEAD:dvc.yaml")


def test_no_output_may_outlive_a_stage_that_failed():
    assert "persist:" not in (ROOT / "dvc.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("remote", ["folder", "s3"])
def test_a_fresh_clone_restores_a_version_and_then_makes_exactly_what_a_parameter_changes(
    recorded, tmp_path, remote, request, monkeypatch
):
    settings = {"url": str(tmp_path / "store")} if remote == "folder" else request.getfixturevalue("bucket")
    source = recorded.copy(tmp_path / "source")
    for project in (source, clone := Project(tmp_path / "clone", recorded.commands)):
        if project is clone:
            git(source, "clone", "--quiet", str(source.path), str(clone.path))
        dvc(project, "remote", "add", "--local", "--default", "store", settings["url"])
        for key, value in settings.items():
            dvc(project, "remote", "modify", "--local", "store", key, value)
    dvc(source, "push", "--quiet")

    succeeded(clone.sync("restore"))  # which checks that neither tool has anything to do
    assert git(clone, "status", "--short") == ""
    if remote == "s3":
        return
    assert jobs_run(dvc(clone, "repro")) == set()

    clone.choose("methods", "ae", "latent", value=128)
    monkeypatch.chdir(clone.path)
    foreseen = plan.plan(params.load(Path("params.yaml")))
    assert set(foreseen) == AFTER_AE
    assert foreseen[f"train/{AE}"] == foreseen[f"evaluate/{AE}"] == ["params.latent: 256 -> 128"]
    assert len(clone.plan() - {("all",)}) == len(AFTER_AE)
    assert jobs_run(dvc(clone, "repro")) == AFTER_AE
    assert dvc(clone, "status").strip() == "Data and pipelines are up to date."
    changed = json.loads(dvc(clone, "params", "diff", "--json"))["params.yaml"]
    assert set(changed) == {"methods.ae.latent"}
    differing = json.loads(dvc(clone, "metrics", "diff", "--json"))
    assert set(differing) == {
        f"results/unoranic/{DATASET}/ae/seed-1/metrics.json",
        f"results/unoranic/comparison/{DATASET}/metrics.json",
    }

    table = f"results/unoranic/{DATASET}/ae/seed-1/tables/probing.roc.csv"
    [plot] = json.loads(dvc(clone, "plots", "diff", "--json", "--targets", table))["data"][table]
    points = plot["content"]["data"]["values"]
    assert [point["rev"] for point in points] == ["workspace", "HEAD"]
    assert points[0]["true_positive_rate"] != points[1]["true_positive_rate"]

    clone.choose("methods", "ae", "latent", value=None)
    assert jobs_run(dvc(clone, "repro")) == set()  # from the run cache
    succeeded(clone.sync("restore"))
    assert git(clone, "status", "--short", "results", "dvc.lock") == ""


@pytest.fixture
def bucket(monkeypatch) -> dict[str, str]:
    """A bucket on an S3 server of this machine, as settings of a DVC remote."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"access_key_id": "test", "secret_access_key": "test"}
    endpoint = f"http://{host}:{port}"
    credentials = {f"aws_{name}": value for name, value in keys.items()}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **credentials)
    client.create_bucket(Bucket="versions")
    yield {"url": "s3://versions/store", "endpointurl": endpoint, "region": "us-east-1", **keys}
    server.stop()


@pytest.mark.slow
def test_parameters_are_never_recorded_against_an_old_model(project):
    """With Snakemake's own records lost, a stage that left its old output would be taken for done."""
    model = project.path / "models/unoranic" / DATASET / "ae/seed-1/model.safetensors"
    before = model.read_text()
    shutil.rmtree(project.path / ".snakemake")
    project.choose("methods", "ae", "latent", value=128)
    assert jobs_run(dvc(project, "repro", f"train/{AE}")) == {f"train/{AE}"}
    assert model.read_text() != before
    lock = yaml.safe_load((project.path / "dvc.lock").read_text())["stages"][f"train/{AE}"]
    described = json.loads((project.path / f".params/train/unoranic/{DATASET}/ae/seed-1.json").read_text())
    assert described["params"]["latent"] == 128 and '"latent": 128' in model.read_text()
    assert lock["outs"][1]["path"].endswith("model.safetensors")


@pytest.mark.slow
def test_a_run_without_a_stage_is_not_passed_over(project):
    project.choose("methods", "narrow", value={"method": "autoencoder", "latent": 8})
    project.choose("studies", "unoranic", "runs", value=[*RUNS, "narrow"])
    refused = project.dvc("repro", "parameters")
    assert refused.returncode != 0
    assert "dvc.yaml: expected the stages of params.yaml" in refused.stdout + refused.stderr
    succeeded(project.sync("stages"))
    dvc(project, "repro", "parameters")
    assert f"train/unoranic/{DATASET}/narrow/seed-1" in dvc(project, "status", "--json")


@pytest.mark.slow
def test_a_changed_source_of_a_method_makes_its_runs_again(project):
    with (project.path / "src/latent_anatomy/methods/autoencoder.py").open("a") as stream:
        stream.write("# changed\n")
    dvc(project, "repro", "parameters")
    # Paired tests name the evaluations that they expect, which name the training.
    stale = {f"train/{AE}", f"evaluate/{AE}", f"paired-tests/unoranic/{DATASET}"}
    assert set(json.loads(dvc(project, "status", "--json"))) == stale


@pytest.mark.slow
def test_a_changed_step_of_imaging_makes_what_follows_again_and_changed_back_it_comes_out_of_the_cache(
    project, monkeypatch
):
    project.choose("imaging", "steps", "normalise", value={"upper_percentile": 99})
    monkeypatch.chdir(project.path)
    foreseen = set(plan.plan(params.load(Path("params.yaml"))))
    steps = {f"imaging/{BRAIN}/normalise", f"imaging/{BRAIN}/gate"}
    assert foreseen == AFTER_IMAGING - {f"imaging/{BRAIN}"} | steps
    assert jobs_run(dvc(project, "repro")) == AFTER_IMAGING
    place = f"data/interim/{BRAIN}/{EVERYBODY[0]}/normalise/flair.nii.gz"
    assert '"upper_percentile": 99' in (project.path / place).read_text()
    succeeded(project.sync("restore"))
    assert project.plan() == set()
    project.choose("imaging", "steps", "normalise", value=None)
    assert jobs_run(dvc(project, "repro")) == set()


@pytest.mark.slow
def test_a_subject_that_comes_back_is_recorded_with_what_snakemake_made_of_it(project):
    project.choose("imaging", "datasets", BRAIN, "excluded", value=dict.fromkeys(EVERYBODY[4:], "a test"))
    succeeded(project.snakemake("--cores", "2", "--quiet"))
    succeeded(project.sync("record"))
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
    lock = yaml.safe_load((project.path / "dvc.lock").read_text())["stages"]
    outputs = {out["path"]: out for out in lock[f"imaging/{BRAIN}"]["outs"]}
    assert outputs[f"data/interim/{BRAIN}"]["nfiles"] == 4 * FILES_OF_A_SUBJECT


@pytest.mark.slow
def test_an_experiment_is_run_with_another_parameter_and_shown(project):
    # "+": a parameter that params.yaml leaves to its paper's value
    dvc(project, "exp", "run", "--set-param", "+methods.unoranic.latent=64")
    shown = json.loads(dvc(project, "exp", "show", "--json"))
    [experiment] = [each for entry in shown for each in entry.get("experiments") or []]
    values = experiment["revs"][0]["data"]
    assert values["params"]["params.yaml"]["data"]["methods"]["unoranic"]["latent"] == 64
    assert f"results/unoranic/{DATASET}/unoranic/seed-1/metrics.json" in values["metrics"]


@pytest.mark.slow
def test_what_is_not_finished_is_not_recorded_and_check_names_it(project):
    lock = (project.path / "dvc.lock").read_bytes()
    (project.path / "reports/unoranic.html").unlink()
    refused = project.sync("record")
    assert refused.returncode != 0 and "expected nothing for snakemake to do" in refused.stderr
    assert "report" in refused.stderr
    assert (project.path / "dvc.lock").read_bytes() == lock
    stale = project.sync("check")
    assert stale.returncode != 0
    assert "expected nothing for dvc to do, found report/index, report/unoranic: dvc repro" in stale.stderr


@pytest.mark.slow
def test_a_file_from_the_cache_is_replaced_and_never_written_into(project):
    model = project.path / "models/unoranic" / DATASET / "ae/seed-1/model.safetensors"
    dvc(project, "checkout", "--relink", "--quiet")  # a copied project has copies
    linked = model.stat()
    assert linked.st_nlink > 1 and not linked.st_mode & 0o200, "expected a read-only link to the cache"
    cached = [path for path in (project.path / ".dvc/cache").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in cached}
    project.choose("methods", "ae", "latent", value=128)
    succeeded(project.snakemake("--cores", "1", "--quiet", "--", str(model.relative_to(project.path))))
    assert '"latent": 128' in model.read_text()
    assert {path: path.read_bytes() for path in cached} == before
