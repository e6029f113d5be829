"""DVC over the same DAG: the same outputs, exactly what depends on a change, and versions that come back."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import EVERYBODY, ROOT, Project

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps, params, resolve
from latent_anatomy.pipeline.volume_files import BESIDE, files_of

DATASET, RUNS, BRAIN, MODEL = "phantom-breastmnist", ("unoranic", "ae"), "phantom-brain", "intensity"
AE, UNORANIC = (f"{DATASET}-{run}-1" for run in ("ae", "unoranic"))
HEARTS, SWEPT = "phantom-acdc", {"splits": ["fold"], "folds": [0], "labelled": [25], "runs": ["unet"]}
SWEEPS = ("published", "disjoint", "factors", "mixtures", "volumes")
NOBODY = {"datasets": [], "splits": [], "folds": [], "labelled": [], "runs": []}
AFTER_AE = {
    f"train-unoranic@{AE}",
    f"evaluate-unoranic@{AE}",
    f"paired-tests-unoranic@{DATASET}",
    "ledger",
    "report-unoranic",
    "report-baur",
    "report-sdnet",
}
AFTER_IMAGING = {
    f"imaging@{BRAIN}",
    f"slab@{BRAIN}",
    f"train-baur@{BRAIN}-{MODEL}-1",
    f"evaluate-baur@{BRAIN}-{MODEL}-1",
    f"evaluate-external-baur@external0-{MODEL}-1",
    f"paired-tests-baur@{BRAIN}",
    "paired-tests-external-baur@0",
    "ledger",
    "report-unoranic",
    "report-baur",
    "report-sdnet",
    "report-qc",
}
FILES_OF_A_SUBJECT = sum(
    len([*files_of(datasets.find(BRAIN), step), *BESIDE]) for step in imaging_steps.of_subject(BRAIN)
)
SYNC = "import sys; from latent_anatomy.versions import sync; getattr(sync, sys.argv[1])()"


def dvc(project: Project, *words: str) -> str:
    """Output of a `dvc` command, which must succeed."""
    return succeeded(project.run(sys.executable, "-m", "dvc", *words))


def sync(project: Project, verb: str) -> subprocess.CompletedProcess:
    return project.run(sys.executable, "-c", SYNC, verb)


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
    sweeps = dict.fromkeys(SWEEPS, NOBODY) | {"disjoint": {"datasets": [HEARTS], **SWEPT}}
    content["imaging"]["datasets"][BRAIN]["excluded"] = dict.fromkeys(EVERYBODY[2:], "a test")
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
    content["data"] = content["collections"]["phantom"]
    (project.path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


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
        succeeded(sync(project, "record"))
        git(project, "commit", "--quiet", "--message=results")
        assert git(project, "status", "--short") == ""

    return Project(made_once("recorded", make), clean.commands)


@pytest.fixture
def project(recorded, tmp_path) -> Project:
    """The recorded project, which the test may change."""
    return recorded.copy(tmp_path / "project")


def outputs_of_dvc(project: Project) -> set[str]:
    program = "from dvc.repo import Repo; print(*(out.def_path for out in Repo().index.outs), sep='\\n')"
    return set(succeeded(project.run(sys.executable, "-c", program)).split())


def outputs_of_snakemake(project: Project) -> set[str]:
    plan = succeeded(project.snakemake("--dry-run", "--forceall"))
    lines = re.findall(r"^    output: (.*)$", plan, re.MULTILINE)
    return {path for line in lines for path in line.split(", ")}


def other_lists(content: dict) -> None:
    """Another data set, another seed, and models that are tested elsewhere too."""
    chosen = content["collections"]["phantom"]
    chosen["images"] = ["phantom-dermamnist", "phantom-retinamnist", "phantom-acdc", "phantom-mmwhs"]
    chosen["studies"]["unoranic"] |= {"datasets": ["phantom-dermamnist"], "seeds": [1, 4], "evaluation": {}}
    chosen["studies"]["baur"]["external"] = [{"dataset": "phantom-retinamnist", "trained_on": BRAIN}]


def nothing_of_volumes(content: dict) -> None:
    """No volumes, and a study without data sets."""
    chosen, content["imaging"] = content["collections"]["phantom"], {}
    chosen["volumes"] = []
    chosen["studies"]["baur"] = {"datasets": [], "external": [], "seeds": [1]}


def nothing_of_images(content: dict) -> None:
    chosen = content["collections"]["phantom"]
    chosen["images"] = []
    chosen["studies"]["unoranic"] = {"datasets": [], "seeds": [1]}
    chosen["studies"]["sdnet"] = {"sweeps": dict.fromkeys(SWEEPS, NOBODY), "seeds": [1]}


def at_hand(content: dict) -> None:
    """Volumes that their publisher has prepared, that have one image, or that no study uses."""
    content["data"] = content["collections"]["at-hand"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [None, other_lists, nothing_of_volumes, nothing_of_images, at_hand])
def test_both_tools_make_the_same_files_whatever_params_yaml_says(clean, tmp_path, change):
    project = clean.copy(tmp_path / "project")
    git(project, "init", "--quiet")
    if change is not None:
        content = yaml.safe_load((project.path / "params.yaml").read_text())
        content["methods"]["narrow"] = {"method": "autoencoder", "latent": 8}
        content["studies"]["unoranic"]["runs"].append("narrow")
        change(content)
        (project.path / "params.yaml").write_text(yaml.safe_dump(content))
        project.give_raw_files(*content["data"]["images"], *content["data"]["volumes"])
    made = outputs_of_snakemake(project)
    assert any("narrow/seed-4" in path for path in made) == (change is other_lists)
    versioned = outputs_of_dvc(project) - {".params"}

    def covering(path: str) -> list[str]:
        return [out for out in versioned if path == out or path.startswith(f"{out}/")]

    assert {path for path in made if len(covering(path)) != 1} == set()
    assert {out for path in made for out in covering(path)} == versioned


@pytest.mark.slow
def test_the_jobs_that_dvc_depends_on_are_those_that_are_written():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    blocks = [block.get("do", block) for block in stages.values()]
    found = {dep for block in blocks for dep in block["deps"] if dep.startswith(".params/")}
    found = {re.escape(re.sub(r"\$\{.*?\}", "*", dep[len(".params/") :])) for dep in found}
    patterns = [pattern.replace(r"\*", "[^/]+") for pattern in found]
    for name in resolve.resolve(params.load(ROOT / "params.yaml")):
        assert sum(bool(re.match(f"{pattern}($|/)", f"{name}.json")) for pattern in patterns) == 1, name


def test_no_output_may_outlive_a_stage_that_failed():
    assert "persist:" not in (ROOT / "dvc.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("remote", ["folder", "s3"])
def test_a_fresh_clone_restores_a_version_and_then_makes_exactly_what_a_parameter_changes(
    recorded, tmp_path, remote, request
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

    succeeded(sync(clone, "restore"))
    assert jobs_run(dvc(clone, "repro")) == set()
    assert clone.plan() == set()
    assert git(clone, "status", "--short") == ""
    if remote == "s3":
        return

    clone.choose("methods", "ae", "latent", value=128)
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
    succeeded(sync(clone, "restore"))
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
    assert jobs_run(dvc(project, "repro", f"train-unoranic@{AE}")) == {f"train-unoranic@{AE}"}
    assert model.read_text() != before
    lock = yaml.safe_load((project.path / "dvc.lock").read_text())["stages"][f"train-unoranic@{AE}"]
    described = json.loads((project.path / f".params/train/unoranic/{DATASET}/ae/seed-1.json").read_text())
    assert described["params"]["latent"] == 128 and '"latent": 128' in model.read_text()
    assert lock["outs"][1]["path"].endswith("model.safetensors")


@pytest.mark.slow
def test_a_changed_source_of_a_method_makes_its_runs_again(project):
    with (project.path / "src/latent_anatomy/methods/autoencoder.py").open("a") as stream:
        stream.write("# changed\n")
    assert jobs_run(dvc(project, "repro")) == AFTER_AE


@pytest.mark.slow
def test_a_changed_step_of_imaging_makes_what_follows_again_and_changed_back_it_comes_out_of_the_cache(
    project,
):
    project.choose("imaging", "steps", "normalise", value={"upper_percentile": 99})
    assert jobs_run(dvc(project, "repro")) == AFTER_IMAGING
    place = f"data/interim/{BRAIN}/{EVERYBODY[0]}/normalise/flair.nii.gz"
    assert '"upper_percentile": 99' in (project.path / place).read_text()
    succeeded(sync(project, "restore"))
    assert project.plan() == set()
    project.choose("imaging", "steps", "normalise", value=None)
    assert jobs_run(dvc(project, "repro")) == set()


@pytest.mark.slow
def test_a_subject_that_comes_back_is_recorded_with_what_snakemake_made_of_it(project):
    project.choose("imaging", "datasets", BRAIN, "excluded", value=dict.fromkeys(EVERYBODY[3:], "a test"))
    succeeded(project.snakemake("--cores", "2", "--quiet"))
    succeeded(sync(project, "record"))
    succeeded(sync(project, "check"))
    lock = yaml.safe_load((project.path / "dvc.lock").read_text())["stages"]
    outputs = {out["path"]: out for out in lock[f"imaging@{BRAIN}"]["outs"]}
    assert outputs[f"data/interim/{BRAIN}"]["nfiles"] == 3 * FILES_OF_A_SUBJECT


@pytest.mark.slow
def test_dvc_makes_a_collection_that_has_nothing_of_a_study(project):
    """No stage may wait for a folder that only another collection fills."""
    content = yaml.safe_load((project.path / "params.yaml").read_text())
    nothing_of_volumes(content)
    (project.path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for folder in ("data/interim", "results/imaging", "results/baur", "models/baur"):
        shutil.rmtree(project.path / folder)
    made = jobs_run(dvc(project, "repro"))
    assert {"report-qc", "report-baur", "ledger"} <= made
    assert not any(DATASET in stage or BRAIN in stage for stage in made)


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
def test_what_is_not_finished_is_not_recorded(project):
    lock = (project.path / "dvc.lock").read_bytes()
    (project.path / "reports/unoranic.html").unlink()
    refused = sync(project, "record")
    assert refused.returncode != 0 and "expected nothing for snakemake to do" in refused.stderr
    assert "report" in refused.stderr
    assert (project.path / "dvc.lock").read_bytes() == lock


@pytest.mark.slow
def test_check_names_what_is_stale(project):
    succeeded(sync(project, "check"))
    project.choose("methods", "ae", "latent", value=128)
    stale = sync(project, "check")
    assert stale.returncode != 0 and "expected nothing for dvc to do, found parameters" in stale.stderr


@pytest.mark.slow
def test_a_file_from_the_cache_is_replaced_and_never_written_into(project):
    model = project.path / "models/unoranic" / DATASET / "ae/seed-1/model.safetensors"
    dvc(project, "checkout", "--relink", "--quiet")  # a copied project has copies
    linked = model.stat()
    assert linked.st_nlink > 1 and not linked.st_mode & 0o200, "expected a read-only link to the cache"
    cached = [path for path in (project.path / ".dvc/cache").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in cached}
    project.choose("methods", "ae", "latent", value=128)
    succeeded(project.snakemake("--cores", "2", "--quiet"))
    assert {path: path.read_bytes() for path in cached} == before
