"""The audit of slices of volumes: every step of every subject, the gate, and tests on another data set."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tamper
import tiny_project
import tiny_volumes
import yaml
from forger import commit, forge
from test_audit import broken, the
from tiny_volumes import DATASET, EXCLUDED, FAILED, OTHER

from latent_anatomy.audit import again, links, prove, raw_files, show
from latent_anatomy.audit.checks import Checks
from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Files, State
from latent_anatomy.audit.walk import Walk
from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.data.dataset import MIRROR_VARIABLE
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.imaging import atlas, bias, registration, stripping, volume
from latent_anatomy.pipeline import layout, layout_of_volumes
from latent_anatomy.pipeline.imaging_steps import OF_SUBJECT
from latent_anatomy.provenance.files import sha256_file

INTERIM, RAW = f"data/interim/{DATASET}", f"data/raw/{DATASET}"
GATE, QC = f"results/imaging/{DATASET}/passport.json", f"results/imaging/{DATASET}/qc.csv"
SLICES = f"data/slices/{DATASET}.h5"
EXTERNAL = layout.result("baur", OTHER, "dae", Replicate(1), {"trained_on": DATASET})


@pytest.fixture(scope="session")
def finished(made_once):
    """The tiny project of volumes. Not to be changed: see `project`."""

    def make(path: Path) -> None:
        tiny_project.finish(path, tiny_volumes.parameters(), tiny_volumes.__file__)

    return made_once("tiny-volumes", make)


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    """A copy of it to damage; the current folder, where the data sets look for theirs."""
    path = shutil.copytree(finished, tmp_path / "project")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.chdir(path)
    return path


def below_slices(root: Path) -> list[links.Link]:
    """The broken links of the slices and of all that they are made of."""
    walk = Walk(Checks(Files(root), Jobs(root)))
    walk.down(layout.slices(DATASET))
    return [link for each in walk.links.values() for link in each if link.state is State.BROKEN]


def passport(subject: str, step: str) -> str:
    return f"{INTERIM}/{subject}/{step}/passport.json"


def reseal(path: Path, *names: str) -> None:
    """Seal a passport anew, with the hashes of these files beside it as they are now."""
    hashes = {name: sha256_file(path.with_name(f"{name}.csv" if name == "qc" else name)) for name in names}
    forge(path, lambda proof: proof["outputs"].update(hashes))


# --- what holds


def test_every_link_of_volumes_holds_and_each_file_is_hashed_once(project, monkeypatch):
    hashed = []
    monkeypatch.setattr(links, "sha256_file", lambda path: hashed.append(path) or sha256_file(path))
    found = prove.audit(project)
    assert [each for links in found.links.values() for each in links if each.state is not State.HOLDS] == []
    assert len(hashed) == len(set(hashed))
    judged = [f"sub-{number:02}" for number in range(1, 6) if f"sub-{number:02}" != EXCLUDED]
    assert {passport(subject, step) for subject in judged for step in OF_SUBJECT} <= found.links.keys()
    assert passport(EXCLUDED, "bias") not in found.links
    shown = show.text(found, words=False)
    assert f"{INTERIM}: 20 steps of its subjects" in shown and "sub-01" not in shown


def test_a_number_of_another_data_set_rests_on_the_models_own(project):
    number = next(each for each in prove.audit(project, [OTHER]).numbers if each.row.dataset == OTHER)
    model = "models/baur/bids-tiny/dae/seed-1/model.safetensors"
    own = [f"data/{kind}/{name}" for kind in ("slices", "raw") for name in (DATASET, OTHER)]
    assert {model, *(f"{path}.h5" if "slices" in path else path for path in own), GATE} < {*number.chain}
    assert passport("sub-01", "register") in number.chain
    assert "models/baur/bids-other" not in " ".join(number.chain)


def test_it_says_whose_checksum_it_is(project):
    [link] = raw_files.check(Files(project), Jobs(project), layout.raw(DATASET))
    assert link.message.endswith("files: sha256 of the user's SHA256SUMS")


def test_prepared_volumes_enter_at_their_registration():
    source = datasets.find("ms-lesion-mni")
    judged = layout_of_volumes.gate(source, {"patient19"})
    [normalised] = judged.made_of
    stripped, registered = normalised.made_of
    assert set(judged.inputs) == {"patient07/register", "patient07/strip", "patient07/normalise"}
    assert stripped.made_of == (registered,) and registered.made_of == (layout.raw(source.name),)
    assert set(registered.inputs.values()) <= set(layout.raw(source.name).outputs.values())


# --- what does not


def test_a_flipped_byte_in_a_volume_is_found(project):
    path = project / INTERIM / "sub-01" / "bias" / "flair.nii.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    found = below_slices(project)
    message = the(found, passport("sub-01", "bias"), "outputs")
    assert "sub-01/bias/flair.nii.gz" in message and "changed after" in message
    assert f"snakemake --cores all --force -- {passport('sub-01', 'bias')}" in message
    assert "flair.nii.gz" in the(found, passport("sub-01", "coregister"), "inputs")
    assert "was made of another version" in the(found, passport("sub-01", "register"), "inputs")


def let_pass(project: Path) -> None:
    text = (project / QC).read_text(encoding="utf-8")
    start = text.index(f"{FAILED},no,")
    (project / QC).write_text(text[:start] + text[start:].replace(",no,", ",yes,", 1), encoding="utf-8")


def test_an_edited_table_of_who_passed_is_found(project):
    let_pass(project)
    found = below_slices(project)
    assert QC in the(found, GATE, "outputs") and "changed after" in the(found, GATE, "outputs")
    assert QC in the(found, SLICES, "inputs")
    assert f"found no {FAILED} in the slices" in the(found, SLICES, "subjects")


def test_a_table_that_was_edited_with_its_passport_is_not_what_the_numbers_give(project):
    let_pass(project)
    reseal(project / GATE, "qc")
    assert f"found others on {FAILED}: it was edited" in the(below_slices(project), GATE, "verdicts")


def test_a_subject_that_was_dropped_from_the_slices_is_found(project):
    def drop(proof):
        proof["inputs"] = {
            role: value for role, value in proof["inputs"].items() if not role.startswith("sub-01/")
        }

    forge(project / SLICES, drop)
    assert "found no sub-01 in their passport" in the(below_slices(project), SLICES, "subjects")
    with h5py.File(project / SLICES, "a") as file:
        kept = np.flatnonzero(file["subject"].asstr()[()] != "sub-01")
        for name in [name for name in file if file[name].shape[:1] == file["subject"].shape]:
            values, attributes = file[name][()][kept], dict(file[name].attrs)
            del file[name]
            file[name] = values
            file[name].attrs.update(attributes)
    forge(project / SLICES, lambda proof: None)
    assert "found no sub-01 in the slices" in the(below_slices(project), SLICES, "subjects")


def test_two_subjects_that_were_swapped_are_found(project):
    one, other, aside = (project / INTERIM / name for name in ("sub-01", "sub-03", "aside"))
    one.rename(aside), other.rename(one), aside.rename(other)
    found = below_slices(project)
    assert f"{RAW}/sub-01/anat/sub-01_FLAIR.nii.gz" in " ".join(
        link.message for link in found if link.path == passport("sub-01", "bias")
    )
    slices = " ".join(link.message for link in found if (link.path, link.check) == (SLICES, "inputs"))
    assert f"which is {INTERIM}/sub-03/normalise/flair.nii.gz" in slices
    assert "sub-03/coregister/numbers.json" in " ".join(link.message for link in found if link.path == GATE)


@pytest.mark.parametrize("transform", ["coregister/t1.txt", "register/to_atlas.txt"])
def test_another_transform_is_found(project, transform):
    path = project / INTERIM / "sub-01" / transform
    path.write_text(path.read_text(encoding="utf-8").replace(" 0 ", " 3 "), encoding="utf-8")
    step = transform.split("/")[0]
    found = below_slices(project)
    assert transform in the(found, passport("sub-01", step), "outputs")
    if step == "coregister":
        reseal(project / passport("sub-01", step), "t1.txt")
        assert transform in the(below_slices(project), passport("sub-01", "register"), "inputs")


@pytest.mark.parametrize("subject", ["sub-01", FAILED])
def test_a_missing_step_is_found(project, subject):
    shutil.rmtree(project / INTERIM / subject / "strip")
    found = below_slices(project)
    message = the(found, passport(subject, "strip"), "file")
    assert "expected this file" in message and "found none: snakemake" in message


def test_a_missing_volume_is_found(project):
    (project / INTERIM / "sub-01/register/lesion.nii.gz").unlink()
    found = below_slices(project)
    assert passport("sub-01", "register") in the(found, f"{INTERIM}/sub-01/register/lesion.nii.gz", "file")


def change_imaging(project: Path, change) -> None:
    content = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    change(content["imaging"])
    (project / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_steps_with_other_parameters_are_found(project):
    change_imaging(project, lambda imaging: imaging["steps"]["atlas"].update(spacing_mm=4))
    found = below_slices(project)
    for path in (passport("sub-01", "register"), passport("sub-03", "strip"), SLICES):
        assert "found atlas.spacing_mm 8.0 in place of 4.0" in the(found, path, "job")
    assert {link.check for link in found} == {"job"}


def test_a_subject_that_is_left_out_otherwise_is_found(project):
    change_imaging(project, lambda imaging: imaging["datasets"][DATASET]["excluded"].update({"sub-01": "x"}))
    found = below_slices(project)
    assert "excluded.sub-01" in the(found, GATE, "job")
    assert "expected no more in its passport, found sub-01/bias" in the(found, GATE, "inputs")


def test_a_subject_that_is_new_is_found(project):
    tiny_volumes.write_folder(Path(RAW), (*tiny_volumes.SPLITS[DATASET], "train"))
    found = below_slices(project)
    assert "expected sub-06/bias" in the(found, GATE, "inputs")
    assert "snakemake" in the(found, passport("sub-06", "normalise"), "file")


def test_another_raw_file_is_found(project):
    names = [Path(RAW, f"sub-0{number}/anat/sub-0{number}_FLAIR.nii.gz") for number in (1, 3)]
    shutil.copy(*names)
    found = below_slices(project)
    assert "expected sha256" in the(found, names[1].as_posix(), "checksum")
    assert names[1].as_posix() in the(found, passport("sub-03", "bias"), "inputs")


def test_a_model_of_other_slices_than_the_ones_named_is_found(project):
    with h5py.File(project / SLICES, "a") as file:
        file.attrs["note"] = "changed"
    forge(project / SLICES, lambda proof: None)
    found = broken(project, OTHER)
    assert SLICES in the(found, EXTERNAL.path, "inputs") and SLICES in the(
        found, EXTERNAL.made_of[0].path, "inputs"
    )


def test_an_external_result_that_hides_what_it_was_trained_on_is_found(project):
    def hide(proof):
        proof["job"].pop("trained_on")
        proof["inputs"].pop("trained_on")

    forge(project / EXTERNAL.path, hide)
    found = broken(project, OTHER)
    assert f"expected trained_on {DATASET}" in the(found, EXTERNAL.path, "place")
    assert "expected trained_on in its passport" in the(found, EXTERNAL.path, "inputs")


def test_a_volume_edited_between_two_steps_and_resealed_is_found_where_the_step_is_made_again(
    project, monkeypatch
):
    for module, name in (
        (bias, "correct"),
        (registration, "register"),
        (stripping, "strip"),
        (atlas, "load"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # which are put back after the test
    tiny_volumes.replace_slow_parts([])
    monkeypatch.setattr(again, "verb", tamper.in_process)
    chain = layout_of_volumes.steps(datasets.find(DATASET), set())["sub-01"]
    assert [made_again(project, chain[step]).state for step in OF_SUBJECT] == [State.HOLDS] * len(OF_SUBJECT)
    path = project / INTERIM / "sub-01/bias/flair.nii.gz"
    head = volume.read(path)
    volume.write(path, replace(head, values=head.values * np.float32(1.1)))
    reseal(project / passport("sub-01", "bias"), "flair.nii.gz")
    assert not broken_steps(project, "bias")
    link = made_again(project, chain["bias"])
    assert link.state is State.BROKEN and "flair.nii.gz is another" in link.message


def made_again(project: Path, artefact: layout.Artefact) -> links.Link:
    return again.Again(Files(project), Jobs(project), lambda what: None).link(artefact)


def broken_steps(project: Path, step: str) -> list[links.Link]:
    return [link for link in below_slices(project) if link.path == passport("sub-01", step)]


# --- what is not here


def states(project: Path) -> dict[str, set[State]]:
    return {
        path: {link.state for link in each if link.state is not State.HOLDS}
        for path, each in prove.audit(project).links.items()
    }


def as_cloned(project: Path) -> None:
    for path in project.glob("results/baur/*/*/*/arrays.npz"):
        path.unlink()
    for folder in ("data", "models", "reports"):
        shutil.rmtree(project / folder)
    commit(project)


def test_a_clone_has_committed_results_and_nothing_is_broken(project):
    as_cloned(project)
    found = states(project)
    assert {State.NOT_HERE} == set.union(*found.values())
    assert found[GATE] == found[EXTERNAL.path] == {State.NOT_HERE}
    assert SLICES not in found
    let_pass(project)
    assert "changed after" in the(broken(project), GATE, "outputs")


def test_without_the_volumes_a_table_in_git_is_not_here(project):
    """Its subjects are known, as those of a published data set are."""
    raw = shutil.copytree(project / RAW, project.parent / "raw")
    as_cloned(project)
    shutil.copytree(raw, project / RAW)
    assert states(project)[GATE] == {State.NOT_HERE}


def test_the_commands_bring_what_is_not_here(project):
    jobs = Jobs(project)
    judged = layout_of_volumes.gate(datasets.find(DATASET), set())
    step = judged.made_of[0]
    assert jobs.make(step) == f"snakemake --cores all --force -- {step.path}"
    stage = {"outs": [{"path": INTERIM, "md5": "0.dir"}]}
    (project / "dvc.lock").write_text(json.dumps({"stages": {"imaging": stage}}), encoding="utf-8")
    assert Jobs(project).bring(step) == f"latent-anatomy sync restore (or dvc pull {step.path})"
    assert Jobs(project).bring(judged).startswith("snakemake")


@pytest.mark.slow
def test_a_test_on_another_data_set_run_again_gives_the_same_metrics(project):
    link = made_again(project, EXTERNAL)
    assert link.state is State.HOLDS, link.message
