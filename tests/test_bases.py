"""Runs that stand on other runs: checked, planned, trained, evaluated and audited down to the first."""

import json
import shutil
from copy import deepcopy

import pytest
import tiny_project
import torch
import yaml
from safetensors.torch import load_file
from standing import SHIFT
from tiny_project import DATASET

from latent_anatomy.audit import walk
from latent_anatomy.audit.links import State
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import params, resolve
from latent_anatomy.provenance import formats

# `elsewhere` stands on a run of another study, which stands on `shifted`, which stands on `ae`.
BLOCKS = {
    "shifted": {"method": "shift", "on": "ae"},
    "twice": {"method": "shift", "on": "shifted"},
    "elsewhere": {"method": "shift", "on": "unoranic/twice"},
}
CHAIN = ("ae", "shifted", "twice")


def content() -> dict:
    """params.yaml of the tiny project with a study of one run, which stands on three runs of another."""
    found = tiny_project.parameters()
    found["methods"] |= BLOCKS
    found["studies"]["unoranic"]["runs"] = ["ae"]
    found["studies"]["sdnet"] = {"runs": ["elsewhere"], "evaluation": {"reconstruction": {}}}
    studies = found["collections"]["phantom"]["studies"]
    studies["unoranic"] |= {"seeds": [1]}
    studies["unoranic"]["changes"][0]["runs"] = ["ae"]
    studies["unoranic"]["changes"].append({"runs": ["twice"], "params": {"batch_size": 64}})
    studies["sdnet"] = {"datasets": [DATASET], "seeds": [1], "changes": [{"seeds": [1, 2]}]}
    return found


@pytest.fixture
def with_shift(monkeypatch):
    """The method of the tests among the project's."""
    module = type(methods)("latent_anatomy.methods.shift")
    exec(SHIFT, module.__dict__)
    names, load = methods.names(), methods.load
    monkeypatch.setattr(methods, "names", lambda: [*names, "shift"])
    monkeypatch.setattr(methods, "load", lambda name: module if name == "shift" else load(name))
    digest = resolve.source_digest
    without = lambda modules: [name for name in modules if not name.endswith(".shift")]  # noqa: E731
    monkeypatch.setattr(resolve, "source_digest", lambda *modules: digest(*without(modules)))


@pytest.mark.usefixtures("with_shift")
def test_the_runs_below_are_trained_where_they_are_missing_with_the_parameters_of_their_own_study():
    jobs = resolve.resolve(params.validate(content()))
    trained = {name.removeprefix("train/") for name in jobs if name.startswith("train/")}
    below = {f"unoranic/{DATASET}/{run}/seed-{seed}" for run in CHAIN for seed in (1, 2)}
    assert trained == below | {f"sdnet/{DATASET}/elsewhere/seed-{seed}" for seed in (1, 2)}
    evaluated = {job["run"] for job in jobs.values() if job["job"] == "evaluate"}
    assert evaluated == {"ae", "elsewhere"}, "what is trained only to stand on is not evaluated"
    job = jobs[f"train/sdnet/{DATASET}/elsewhere/seed-2"]
    for run in reversed(CHAIN):
        job = job["on"]
        assert job == jobs[f"train/unoranic/{DATASET}/{run}/seed-2"]
    assert job["params"]["width"] == 4, "as the study of the base changes it"
    assert jobs[f"train/unoranic/{DATASET}/twice/seed-1"]["params"]["batch_size"] == 64
    assert jobs[f"evaluate/sdnet/{DATASET}/elsewhere/seed-1"]["modules"] == [
        f"latent_anatomy.{name}"
        for name in (
            "jobs.evaluate",
            "methods.shift",
            "methods.autoencoder",
            "evaluation.protocols.reconstruction",
        )
    ]


def test_the_bare_key_on_is_a_word_in_yaml():
    text = yaml.safe_dump(tiny_project.parameters()).replace(
        "\nmethods:\n", "\nmethods:\n  again:\n    method: resnet18\n    on: ae\n"
    )
    assert True in yaml.safe_load(text)["methods"]["again"]
    assert params.validate(yaml.safe_load(text)).methods["again"]["on"] == "ae"


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"shifted": {"on": "imaginary"}}, r"on: expected <run> or <study>/<run>.*found 'imaginary'"),
        ({"shifted": {"on": "imaginary/ae"}}, r"methods\.shifted\.on: .*found 'imaginary/ae'"),
        ({"shifted": {"on": 3}}, r"methods\.shifted\.on: .*found 3"),
        ({"shifted": {"on": "shifted"}}, r"methods\.shifted\.on: .*ends, found shifted -> shifted"),
        ({"shifted": {"on": "sdnet/elsewhere"}}, r"found shifted -> elsewhere -> twice -> shifted"),
        ({"ae": {"on": "unoranic"}}, r"ae\.on: .*autoencoder stands on no other run, found 'unoranic'"),
        ({"shifted": {"on": None}}, r"shifted\.on: .* can reconstruct and encode.*found none"),
        ({"shifted": {"on": "chance"}}, r"on: .*found 'chance', which cannot reconstruct and encode"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("with_shift")
def test_a_mistake_is_one_line_before_anything_runs(blocks, message):
    wrong = content()
    for run, block in blocks.items():
        wrong["methods"][run] = wrong["methods"][run] | block
    with pytest.raises(params.ParamsError, match=message) as caught:
        resolve.resolve(params.validate(wrong))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("with_shift")
def test_changes_may_name_what_is_trained_below_and_nothing_else():
    wrong = content()
    wrong["collections"]["phantom"]["studies"]["baur"]["changes"] = [{"runs": ["ae"]}]
    with pytest.raises(params.ParamsError, match=r"baur\.changes\.runs: .*found 'ae'"):
        params.validate(wrong)


@pytest.mark.slow
def test_the_chain_is_planned_and_what_is_below_makes_what_is_above_again(clean, tmp_path):
    project = clean.copy(tmp_path / "project")
    (project.path / "src/latent_anatomy/methods/shift.py").write_text(SHIFT)
    (project.path / "params.yaml").write_text(yaml.safe_dump(content(), sort_keys=False))
    assert project.snakemake("--cores", "2", "--quiet").returncode == 0
    model = f"models/unoranic/{DATASET}/twice/seed-2/model.safetensors"
    command = (project.path / f"models/sdnet/{DATASET}/elsewhere/seed-2/model.safetensors").read_text()
    assert f"--on {model} " in command
    assert "--on" not in (project.path / f"models/unoranic/{DATASET}/ae/seed-1/model.safetensors").read_text()

    project.choose("methods", "shifted", "batch_size", value=32)
    plan = {job for job in project.plan() if job[0] in ("train", "evaluate")}
    above = {("train", "unoranic", DATASET, run, f"seed-{seed}") for run in CHAIN[1:] for seed in (1, 2)}
    top = {
        (rule, "sdnet", DATASET, "elsewhere", f"seed-{seed}")
        for rule in ("train", "evaluate")
        for seed in (1, 2)
    }
    assert plan == above | top


@pytest.fixture(scope="session")
def standing(made_once):
    """The project, finished by its real jobs. Not to be changed: see `project`."""
    return made_once("standing", lambda path: tiny_project.finish(path, content(), methods={"shift": SHIFT}))


@pytest.fixture
def project(standing, tmp_path):
    return shutil.copytree(standing, tmp_path / "project")


def model(run: str, study: str = "unoranic", seed: int = 1) -> str:
    return f"models/{study}/{DATASET}/{run}/seed-{seed}/model.safetensors"


@pytest.mark.slow
def test_checkpoints_hold_what_they_stand_on_as_it_was(standing):
    top = load_file(standing / model("elsewhere", "sdnet"))
    assert {name for name in top if "on." not in name} == {"shift"}
    for run, prefix in (("twice", "on."), ("shifted", "on.on."), ("ae", "on.on.on.")):
        below = load_file(standing / model(run))
        assert below and all(torch.equal(top[prefix + name], each) for name, each in below.items())
    shifts = [top[prefix + "shift"].item() for prefix in ("", "on.", "on.on.")]
    assert len(set(shifts)) == 3
    passport = formats.read_passport(standing / model("elsewhere", "sdnet"))
    assert passport["inputs"].keys() == {"slices", "on"} and passport["job"]["on"]["run"] == "twice"


@pytest.mark.slow
@pytest.mark.usefixtures("with_shift")
def test_an_audit_walks_down_to_the_first_run_and_finds_what_was_changed_there(project):
    found = walk.audit(project)
    assert set(found.states.values()) == {State.HOLDS}, [
        link for links in found.links.values() for link in links if link.state is not State.HOLDS
    ]
    assert {model(run, seed=seed) for run in CHAIN for seed in (1, 2)} <= found.states.keys()
    shutil.copy(project / model("twice", seed=2), project / model("twice"))
    changed = walk.audit(project).states
    broken = {path for path, state in changed.items() if state is State.BROKEN}
    assert broken == {model("twice"), model("elsewhere", "sdnet")}


@pytest.mark.slow
def test_another_checkpoint_than_the_one_that_the_job_names_is_refused(standing, tmp_path, monkeypatch):
    from latent_anatomy.jobs.checkpoint import load_base

    job = json.loads((standing / f".params/train/unoranic/{DATASET}/shifted/seed-1.json").read_text())
    with pytest.raises(
        ValueError, match=r"expected ae as shifted stands on it, found another seed: train ae again"
    ):
        load_base(None, job, standing / model("ae", seed=2))
    with pytest.raises(ValueError, match="expected --on exactly for a run that stands on another"):
        load_base(None, job, None)
    alone = {key: value for key, value in job.items() if key != "on"}
    with pytest.raises(ValueError, match="expected --on exactly for a run that stands on another"):
        load_base(None, alone, standing / model("ae"))


def test_what_is_stood_on_stays_in_evaluation_mode_and_without_gradients():
    from latent_anatomy.training.method import frozen

    outer = torch.nn.Sequential(frozen(torch.nn.BatchNorm1d(2)), torch.nn.Linear(2, 2))
    for each in (outer, deepcopy(outer)):
        each.train()
        each(torch.randn(8, 2) + 5)
        assert torch.equal(each[0].running_mean, torch.zeros(2)) and each[1].training
    assert not outer[0].weight.requires_grad and outer[1].weight.requires_grad
