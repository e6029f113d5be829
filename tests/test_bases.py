"""Runs that stand on other runs: checked, planned, trained, evaluated and audited down to the first."""

import json
import re
import shutil
from copy import deepcopy

import pytest
import rich_project
import tiny_project
import torch
import yaml
from conftest import jobs_of
from rich_project import DATASET, OTHER, POOL, content
from safetensors.torch import load_file

from latent_anatomy.audit import prove
from latent_anatomy.audit.links import State
from latent_anatomy.pipeline import params, resolve
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import sha256_file

CHAIN = ("ae", "shifted", "twice")


@pytest.mark.usefixtures("with_methods")
def test_the_runs_below_are_trained_where_they_are_missing_with_the_parameters_of_their_own_study():
    jobs = resolve.resolve(params.validate(content()))
    trained = {name.removeprefix("train/") for name in jobs if name.startswith("train/")}
    below = {f"unoranic/{DATASET}/{run}/seed-{seed}" for run in CHAIN for seed in (1, 2)}
    own = {name for name in trained if "/given/" in name or POOL in name}
    assert trained - own == below | {f"sdnet/{DATASET}/elsewhere/seed-{seed}" for seed in (1, 2)}
    evaluated = {job["run"] for job in jobs.values() if job["job"] == "evaluate"}
    assert evaluated == {"ae", "given", "elsewhere"}, "what is trained only to stand on is not evaluated"
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


@pytest.mark.usefixtures("with_methods")
def test_a_parameter_of_a_run_changes_its_job_and_those_of_all_that_stands_on_it():
    changed = content()
    changed["methods"]["shifted"] |= {"batch_size": 32}
    before, after = (resolve.resolve(params.validate(each)) for each in (content(), changed))
    runs = {job["run"] for name, job in after.items() if before[name] != job}
    assert runs == {"shifted", "twice", "elsewhere"}


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
@pytest.mark.usefixtures("with_methods")
def test_a_mistake_is_one_line_before_anything_runs(blocks, message):
    wrong = content()
    for run, block in blocks.items():
        wrong["methods"][run] = wrong["methods"][run] | block
    with pytest.raises(params.ParamsError, match=message) as caught:
        resolve.resolve(params.validate(wrong))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("with_methods")
def test_changes_may_name_what_is_trained_below_and_nothing_else():
    wrong = content()
    wrong["collections"]["phantom"]["studies"]["baur"]["changes"] = [{"runs": ["ae"]}]
    with pytest.raises(params.ParamsError, match=r"baur\.changes\.runs: .*found 'ae'"):
        params.validate(wrong)


@pytest.mark.slow
def test_all_that_a_run_is_made_of_is_planned(clean, tmp_path):
    project = clean.copy(tmp_path / "project")
    rich_project.write_methods(project.path / "src/latent_anatomy")
    (project.path / "params.yaml").write_text(yaml.safe_dump(content(), sort_keys=False))
    result = project.snakemake("-n")
    assert "Not trained: given: teacher: teacher.txt has no public address: ask its author" in result.stderr
    assert not any("given" in job for job in jobs_of(result))

    result = project.snakemake("-n", "--printshellcmds", mirror=rich_project.mirror(tmp_path / "mirror"))
    planned = {("raw-teacher",), ("pool", POOL), ("train", "unoranic", DATASET, "given", "seed-1")}
    assert planned < jobs_of(result)
    commands = [line.strip() for line in result.stdout.splitlines() if " train --params " in line]
    options = [dict(re.findall(r"--(\S+) (\S+)", line)) for line in commands]
    on = {each["model"]: each.get("on") for each in options}
    assert on[model("elsewhere", "sdnet", 2)] == model("twice", seed=2)
    assert on[model("shifted")] == model("ae") and on[model("ae")] is None
    members = f"data/slices/{DATASET}.h5 data/slices/{OTHER}.h5"
    copy = sha256_file(project.path / f".params/slice/{POOL}.json")
    assert f"latent-anatomy pool {members} --params .scratch/jobs/{copy}.json" in result.stdout


def model(run: str, study: str = "unoranic", seed: int = 1) -> str:
    return f"models/{study}/{DATASET}/{run}/seed-{seed}/model.safetensors"


@pytest.mark.slow
def test_checkpoints_hold_what_they_stand_on_as_it_was(rich):
    top = load_file(rich / model("elsewhere", "sdnet"))
    assert {name for name in top if "on." not in name} == {"shift"}
    for run, prefix in (("twice", "on."), ("shifted", "on.on."), ("ae", "on.on.on.")):
        below = load_file(rich / model(run))
        assert below and all(torch.equal(top[prefix + name], each) for name, each in below.items())
    shifts = [top[prefix + "shift"].item() for prefix in ("", "on.", "on.on.")]
    assert len(set(shifts)) == 3
    passport = formats.read_passport(rich / model("elsewhere", "sdnet"))
    assert passport["inputs"].keys() == {"slices", "on"} and passport["job"]["on"]["run"] == "twice"


@pytest.mark.slow
@pytest.mark.usefixtures("with_methods")
def test_an_audit_walks_down_to_the_first_run_and_to_all_that_a_run_was_given(rich, tmp_path):
    found = prove.audit(rich)
    assert set(found.states.values()) == {State.HOLDS}, [
        link for links in found.links.values() for link in links if link.state is not State.HOLDS
    ]
    assert {model(run, seed=seed) for run in CHAIN for seed in (1, 2)} <= found.states.keys()
    # A pool's slices are those of its members; a run of another number of seeds; weights of others.
    assert {f"data/slices/{name}.h5" for name in (DATASET, OTHER, POOL)} <= found.states.keys()
    assert f"results/unoranic/{POOL}/ae/seed-3/passport.json" in found.states
    assert "data/raw/teacher" in found.states

    project = shutil.copytree(rich, tmp_path / "project")
    shutil.copy(project / model("twice", seed=2), project / model("twice"))
    shutil.copy(project / f"data/slices/{DATASET}.h5", project / f"data/slices/{OTHER}.h5")
    (project / "data/raw/teacher/teacher.txt").write_text("0.5")
    broken = {path for path, state in prove.audit(project).states.items() if state is State.BROKEN}
    given = {f"models/unoranic/{name}/given/seed-1/model.safetensors" for name in (DATASET, POOL)}
    above = {model("twice"), model("elsewhere", "sdnet")}
    sliced = {f"data/slices/{name}.h5" for name in (OTHER, POOL)}
    assert broken == above | sliced | given | {"data/raw/teacher"}


@pytest.mark.slow
def test_another_checkpoint_than_the_one_that_the_job_names_is_refused(rich):
    from latent_anatomy.jobs.checkpoint import load_base

    job = json.loads((rich / f".params/train/unoranic/{DATASET}/shifted/seed-1.json").read_text())
    slices = sha256_file(rich / f"data/slices/{DATASET}.h5")
    with pytest.raises(
        ValueError, match=r"expected ae as shifted stands on it, found another seed: train ae again"
    ):
        load_base(None, job, rich / model("ae", seed=2), slices)
    with pytest.raises(ValueError, match="expected --on exactly for a run that stands on another"):
        load_base(None, job, None, slices)
    alone = {key: value for key, value in job.items() if key != "on"}
    with pytest.raises(ValueError, match="expected --on exactly for a run that stands on another"):
        load_base(None, alone, rich / model("ae"), slices)
    with pytest.raises(ValueError, match="expected it to be made of slices 000000000000, as they are here"):
        load_base(None, job, rich / model("ae"), "0" * 64)


def test_what_is_stood_on_stays_in_evaluation_mode_and_without_gradients():
    from latent_anatomy.training.method import frozen

    outer = torch.nn.Sequential(frozen(torch.nn.BatchNorm1d(2)), torch.nn.Linear(2, 2))
    for each in (outer, deepcopy(outer)):
        each.train()
        each(torch.randn(8, 2) + 5)
        assert torch.equal(each[0].running_mean, torch.zeros(2)) and each[1].training
    assert not outer[0].weight.requires_grad and outer[1].weight.requires_grad
