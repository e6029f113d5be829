"""An audit holds for a finished project, and finds every way in which a number could be another."""

import hashlib
import json
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_project
import yaml
from forger import MODEL, OTHER, RAW, REPORT, RESULT, SLICES, commit, forge, ledgers, rename
from tiny_project import DATASET, LEDGERS
from typer.testing import CliRunner

from latent_anatomy.audit import expected, links, prove, raw_files, show
from latent_anatomy.audit.git_history import History
from latent_anatomy.audit.links import Files, State
from latent_anatomy.cli import main
from latent_anatomy.cli.audit import progress
from latent_anatomy.data import slices_file
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.phantoms.medmnist import PhantomMedMnist
from latent_anatomy.jobs import report
from latent_anatomy.jobs import slice as slice_job
from latent_anatomy.ledger import table
from latent_anatomy.pipeline import layout
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import canonical_json, sha256_file
from latent_anatomy.provenance.sources import running_sources

COMPARISON = f"results/unoranic/comparison/{DATASET}"
ARTEFACTS = (
    RAW, SLICES.path, MODEL.path, MODEL.outputs["history"], *RESULT.outputs.values(), RESULT.path,
    f"{COMPARISON}/metrics.json", f"{COMPARISON}/passport.json", *LEDGERS, REPORT,
)  # fmt: skip
ONE = ("table 2", "ae", "reconstruction/psnr")


@pytest.fixture(scope="session")
def whole(made_once):
    """The tiny project, finished. Not to be changed: see `project`."""
    return made_once("tiny", tiny_project.finish)


@pytest.fixture(scope="module", autouse=True)
def drawn_once(tmp_path_factory):
    """Each audit draws the phantom again: here all of them together draw it once."""
    folder = tmp_path_factory.mktemp("drawn")
    datasets.find(DATASET).generate(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            PhantomMedMnist, "generate", lambda _, where: shutil.copytree(folder, where, dirs_exist_ok=True)
        )
        yield


@pytest.fixture
def project(whole, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(whole, tmp_path / "project")


def broken(root: Path, *words: str) -> list[links.Link]:
    """The broken links of an audit, each with a message that says what was expected or what to do."""
    found = [
        link
        for each in prove.audit(root, words).links.values()
        for link in each
        if link.state is State.BROKEN
    ]
    assert all(": " in link.message for link in found)
    return found


def the(found: list[links.Link], path: str, check: str) -> str:
    """The message of the one broken link of `path` about `check`."""
    [message] = [link.message for link in found if (link.path, link.check) == (path, check)]
    return message


def edit_metric(root: Path, with_passport: bool = False) -> None:
    """Set a number to 35.9, and its hash in the passport too if asked."""
    path = root / RESULT.outputs["metrics"]
    metrics = json.loads(path.read_text(encoding="utf-8")) | {"reconstruction/psnr": 35.9}
    path.write_text(canonical_json(metrics), encoding="utf-8")
    if with_passport:
        hashed = sha256_file(path)
        forge(root / RESULT.path, lambda passport: passport["outputs"].update(metrics=hashed))


# --- what holds


def test_every_link_of_a_finished_project_holds_and_each_file_is_hashed_once(whole, monkeypatch):
    hashed = []
    monkeypatch.setattr(links, "sha256_file", lambda path: hashed.append(path) or sha256_file(path))
    found = prove.audit(whole)
    assert len(hashed) == len(set(hashed)) > 15
    assert found.state is State.HOLDS
    assert (
        len(found.numbers) == len([row for row in table.read(whole / LEDGERS[1]) if row.n_seeds != "0"]) > 10
    )
    assert set(ARTEFACTS) <= {*found.hashes, *found.links}


def test_the_chain_of_a_number_goes_from_the_report_to_the_raw_file(whole):
    [number] = prove.audit(whole, ONE).numbers
    below = [path for each in (RESULT, OTHER) for path in (each.path, each.made_of[0].path)]
    whole_set = f"results/unoranic/{DATASET}"  # whether all seeds are there
    expected = [REPORT, LEDGERS[1], whole_set, *below[:2], SLICES.path, f"data/raw/{DATASET}", *below[2:]]
    assert list(number.chain) == expected


def test_a_claim_rests_on_the_paired_tests_and_on_both_runs(whole):
    [number] = prove.audit(whole, ["claim"]).numbers
    assert f"{COMPARISON}/passport.json" in number.chain
    assert {f"results/unoranic/{DATASET}/{run}/seed-2/passport.json" for run in ("ae", "unoranic")} < {
        *number.chain
    }


def test_a_study_without_a_paper_has_a_report_and_no_rows(project):
    content = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    content["studies"]["plain"] = {"runs": ["ae"], "evaluation": {"reconstruction": {}}}
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    [link] = prove.audit(project).links["reports/plain.html"]
    assert link.state is State.NOT_HERE and "reports/plain.html" in link.message
    assert not broken(project)


def test_words_choose_rows_by_their_name_or_by_a_part_of_it(whole):
    def chosen(*words):
        return {(each.row.table, each.row.metric) for each in prove.audit(whole, words).numbers}

    assert chosen(*ONE) == {("Table 2", "reconstruction/psnr")}  # though reconstruction/psnr_batch has it too
    assert chosen("TABLE 2", "ae", "psnr") == {
        ("Table 2", f"reconstruction/psnr{end}") for end in ("", "_batch")
    }
    with pytest.raises(ValueError, match=r"expected a number with 'resnet'.*ledger\.csv"):
        chosen("resnet")


# --- what does not


@pytest.mark.parametrize("path", ARTEFACTS)
def test_one_flipped_byte_in_any_artefact_is_found(project, path):
    data = bytearray((project / path).read_bytes())
    data[len(data) // 2] ^= 4
    (project / path).write_bytes(data)
    found = broken(project)
    assert any(path in link.message or path in link.path for link in found)


def test_an_edited_metrics_file_is_found(project):
    edit_metric(project)
    found = broken(project, *ONE)
    message = the(found, RESULT.path, "outputs")
    assert RESULT.outputs["metrics"] in message and "changed after" in message
    assert f"snakemake --cores all --force -- {RESULT.path}" in message
    assert "one of the two was changed since" in the(found, LEDGERS[1], "rows")
    assert "stale" in the(found, REPORT, "inputs")


@pytest.mark.parametrize("path", LEDGERS)
def test_an_edited_ledger_is_found(project, path):
    text = (project / path).read_text(encoding="utf-8")
    row = text.splitlines()[1]
    (project / path).write_text(text.replace(row, row.replace(",,", ",,99.9", 1), 1), encoding="utf-8")
    message = the(broken(project), path, "rows")
    assert "99.9" in message and "snakemake" in message


# In the middle of the ledger and at its end; this collection has nothing of either.
@pytest.mark.parametrize("study", ["baur", "sdnet"])
def test_rows_that_were_taken_out_of_a_ledger_are_missing_and_the_others_as_they_should_be(project, study):
    lines = (project / LEDGERS[0]).read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{study},")]
    assert len(kept) < len(lines)
    (project / LEDGERS[0]).write_text("".join(kept), encoding="utf-8")
    message = the(broken(project), LEDGERS[0], "rows")
    assert ": missing" in message and "found" not in message and "no metrics" not in message


def test_a_checkpoint_of_another_seed_is_found(project):
    shutil.copy(project / OTHER.made_of[0].path, project / MODEL.path)
    found = broken(project)
    message = the(found, MODEL.path, "place")
    assert "expected seed 1, as of its path, found seed 2" in message
    assert f"snakemake --cores all --force -- {MODEL.path}" in message
    assert MODEL.path in the(found, RESULT.path, "inputs")


@pytest.mark.parametrize("kind", ["slices", "report"])
def test_a_passport_copied_from_another_file_is_found(project, kind):
    path = project / (SLICES.path if kind == "slices" else REPORT)
    if kind == "slices":
        with h5py.File(path, "a") as file:
            file["images"][0, 0, 0, 0] ^= 1
    else:
        path.write_text(path.read_text(encoding="utf-8").replace("</body>", "better</body>"))
    assert "it was edited" in the(broken(project), str(path.relative_to(project)), "content")


def test_a_checkpoint_trained_with_other_parameters_is_found(project):
    """What `persist: true` of DVC lets through: the old model stands under the new parameters."""
    text = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text.replace("epochs: 1", "epochs: 2"), encoding="utf-8")
    found = broken(project)
    for artefact in (MODEL, RESULT):
        message = the(found, artefact.path, "job")
        assert "found params.epochs 1 in place of 2" in message and "snakemake" in message


def test_slices_made_from_other_raw_data_are_found(project, tmp_path, monkeypatch):
    with np.load(project / RAW) as raw:
        other = {name: 255 - raw[name] if "images" in name else raw[name] for name in raw.files}
    (tmp_path / "raw").mkdir()
    np.savez(tmp_path / "raw" / f"{DATASET}.npz", **other)
    job = project / ".params" / f"{SLICES.job}.json"
    slice_job.run(DATASET, tmp_path / "raw", job, project / SLICES.path)
    found = broken(project)
    assert RAW in the(found, SLICES.path, "inputs")
    assert SLICES.path in the(found, MODEL.path, "inputs")
    assert slices_file.read(project / SLICES.path).images.shape == (448, 1, 28, 28), (
        "nothing else is wrong with them"
    )


def test_a_raw_file_without_its_publishers_checksum_is_found(project, monkeypatch):
    class Published(PhantomMedMnist):
        files = (RawFile(f"{DATASET}.npz", None, "md5", "0" * 32),)
        phantom = False

    Published.__module__ = PhantomMedMnist.__module__  # whose sources are those of its jobs
    known, find = Published("breastmnist", None), datasets.find
    monkeypatch.setattr(datasets, "find", lambda name: known if name == DATASET else find(name))
    message = the(broken(project), RAW, "checksum")
    assert f"expected md5 {'0' * 32}, found" in message and "fetch again" in message


@pytest.mark.parametrize(
    ("algorithm", "whose"), [("md5", "its publisher"), ("sha256", "this project's list")]
)
def test_it_says_whose_checksum_a_raw_file_has(whole, monkeypatch, algorithm, whose):
    checksum = hashlib.new(algorithm, (whole / RAW).read_bytes()).hexdigest()

    class Published(PhantomMedMnist):
        files = (RawFile(f"{DATASET}.npz", None, algorithm, checksum),)
        phantom = False

    known = Published("breastmnist", None)
    monkeypatch.setattr(datasets, "find", lambda name: known)
    [link] = raw_files.check(Files(whole), None, layout.raw(DATASET))
    assert (link.state, link.message) == (State.HOLDS, f"{RAW}: {algorithm} of {whose}")


DIRTY = ("source", {"dirty": True}, "commit them, and then snakemake")
OTHERS = ("job", {"source": "0" * 64}, "expected sources 000000000000")


@pytest.mark.parametrize(
    ("path", "key", "change", "message"),
    [*((path, *DIRTY) for path in (SLICES.path, MODEL.path, RESULT.path, REPORT)), (MODEL.path, *OTHERS)],
)
def test_results_of_other_sources_than_those_of_a_commit_are_found(project, path, key, change, message):
    forge(project / path, lambda passport: passport[key].update(change))
    assert message in the(broken(project), path, "sources")


@pytest.mark.parametrize("changed", ["notebooks/unoranic.ipynb", "papers/unoranic.yaml", LEDGERS[1]])
def test_a_stale_report_is_found(project, changed):
    with (project / changed).open("a", encoding="utf-8") as stream:
        stream.write("\n")
    message = the(broken(project), REPORT, "inputs")
    assert f"{REPORT} is stale" in message and f"snakemake --cores all --force -- {REPORT}" in message


LINKS = (RAW, SLICES.path, MODEL.path, *MODEL.outputs.values(), *RESULT.outputs.values(), RESULT.path)


@pytest.mark.parametrize("path", LINKS)
def test_a_missing_link_is_found(project, path):
    (project / path).unlink()
    message = the(broken(project), path, "file")
    assert "expected this file" in message and "found none: snakemake" in message


# --- phantoms under a real name


def test_a_real_name_in_the_attribute_of_slices_is_found(project):
    real = rename(project, chain=True)
    path = real.made_of[1].path
    message = the(broken(project), path, "place")
    assert "expected dataset breastmnist" in message
    forge(project / path, lambda passport: passport["job"].update(dataset="breastmnist"))
    assert f"found dataset in the file {DATASET}" in the(broken(project), path, "place")


# --- what is not here, or cannot be proven


def only_git(project: Path) -> None:
    """Leave of the results what git would bring, as for a real data set."""
    shutil.rmtree(project / "models")
    shutil.rmtree(project / "data")
    (project / REPORT).unlink()
    for pattern in ("arrays.npz", "tables/*"):
        for path in project.glob(f"results/unoranic/*/*/*/{pattern}"):
            path.unlink()
    commit(project)


def run(project: Path, monkeypatch, *words: str):
    monkeypatch.chdir(project)
    return CliRunner().invoke(main.app, ["audit", *words])


def test_numbers_without_their_artefacts_are_not_here_and_fail_only_strictly(project, monkeypatch):
    only_git(project)
    done = run(project, monkeypatch, *ONE)
    assert done.exit_code == 0 and "1 not here" in done.output
    assert f"snakemake --cores all -- {RESULT.path}" in done.output
    (project / "dvc.lock").write_text(
        f"stages: {{train: {{outs: [{{path: {RESULT.outputs['arrays']}}}]}}}}\n"
    )
    assert "latent-anatomy sync restore" in run(project, monkeypatch, *ONE).output
    assert run(project, monkeypatch, *ONE, "--strict").exit_code == 3


def test_what_git_brings_is_held_to_its_passport_even_alone(project):
    only_git(project)
    edit_metric(project)
    assert "changed after" in the(broken(project), RESULT.path, "outputs")


def test_scores_that_git_brings_are_held_to_the_comparison_made_of_them(project):
    only_git(project)
    scores = project / RESULT.outputs["scores"]
    scores.write_bytes(scores.read_bytes() + b"0")
    found = broken(project)
    assert "changed after" in the(found, RESULT.path, "outputs")
    assert "another version" in the(found, f"{COMPARISON}/passport.json", "inputs")
    scores.unlink()
    assert "found none" in the(broken(project), RESULT.outputs["scores"], "file")


def test_a_result_without_scores_and_a_comparison_of_arrays_are_older_and_no_break(project):
    """As they were sealed when every evaluation left the tables roc and psnr, and nothing else for tests."""
    only_git(project)
    hashes = dict.fromkeys(("arrays", "roc", "psnr"), "0" * 64)

    def older(passport):
        passport["outputs"] = {"metrics": passport["outputs"]["metrics"], **hashes}

    def made_of_arrays(passport):
        passport["inputs"] = {role.replace("scores", "arrays"): "0" * 64 for role in passport["inputs"]}

    for result in (RESULT, OTHER):
        forge(project / result.path, older)
        (project / result.outputs["scores"]).unlink()
    forge(project / f"{COMPARISON}/passport.json", made_of_arrays)
    commit(project)
    found = prove.audit(project).links
    assert not [link for each in found.values() for link in each if link.state is State.BROKEN]
    for path, check, names in (
        (RESULT.path, "outputs", ("arrays.npz", "psnr.csv", "roc.csv")),
        (f"{COMPARISON}/passport.json", "inputs", ("ae/seed-1/arrays.npz",)),
    ):
        [link] = [link for link in found[path] if link.check == check]
        assert link.state is State.NOT_HERE and all(name in link.message for name in names)


def test_a_passport_without_a_seal_is_plainly_not_provable_and_its_result_gives_no_ledger(
    project, monkeypatch
):
    only_git(project)
    for path in project.glob("results/unoranic/**/passport.json"):
        passport = formats.read_passport(path)
        old = {key: passport[key] for key in ("inputs", "job", "source", "environment", "device")}
        old["job"]["seeds"] = [1]  # and jobs were others
        old["source"]["commit"] = "f" * 40
        path.write_text(canonical_json(old), encoding="utf-8")
    commit(project)
    done = run(project, monkeypatch)
    assert done.exit_code == 1 and "older passport without a content hash" in done.output
    assert "the metrics here give no ledger" in done.output


@pytest.mark.parametrize(
    ("commit", "message"), [("f" * 40, "not in this repository"), (None, "outside a git")]
)
def test_sources_of_an_unknown_commit_are_unproven(project, commit, message):
    forge(project / SLICES.path, lambda passport: passport["source"].update(commit=commit))
    found = prove.audit(project).links[SLICES.path]
    [link] = [link for link in found if link.check == "sources"]
    assert link.state is State.UNPROVEN and message in link.message


@pytest.mark.parametrize(("known_then", "state"), [(False, State.UNPROVEN), (True, State.BROKEN)])
def test_a_passport_that_lacks_a_parameter_is_broken_only_if_its_commit_had_it(
    project, monkeypatch, known_then, state
):
    """So that a parameter that is added to a method breaks no committed result."""
    forge(project / f"{COMPARISON}/passport.json", lambda proof: proof["job"].pop("without_randomness"))
    if not known_then:
        known = expected.known
        monkeypatch.setattr(
            expected,
            "known",
            lambda sources, *of: known(sources, *of) if sources is running_sources() else set(),
        )
    [link] = [
        link for link in prove.audit(project).links[f"{COMPARISON}/passport.json"] if link.check == "job"
    ]
    assert link.state is state and "without_randomness" in link.message


def test_gits_history_knows_edits_whatever_the_index_says_and_lists_those_of_merges(project):
    git = ["git", "-C", str(project), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    paper = project / "papers/unoranic.yaml"
    subprocess.run([*git, "update-index", "--assume-unchanged", "papers/unoranic.yaml"], check=True)
    paper.write_text(paper.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert History(project).edited("papers") == {"papers/unoranic.yaml": "edited"}
    subprocess.run([*git, "update-index", "--no-assume-unchanged", "papers/unoranic.yaml"], check=True)
    subprocess.run([*git, "commit", "-qam", "A paper's number"], check=True)
    assert not History(project).edited("papers")
    [change] = History(project).changes("papers")
    assert (change.subject, change.files) == ("A paper's number", ("papers/unoranic.yaml",))


def test_a_merge_of_branches_that_changed_different_files_is_no_change_itself(project):
    git = ["git", "-C", str(project), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    papers = sorted((project / "papers").glob("*.yaml"))[:2]
    for paper, words in zip(papers, ([], ["checkout", "-q", "-b", "other", "HEAD~"]), strict=True):
        subprocess.run([*git, *words] if words else ["true"], check=True)
        paper.write_text(paper.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        subprocess.run([*git, "commit", "-qam", f"Change {paper.stem}"], check=True)
    subprocess.run([*git, "merge", "-q", "-m", "Merge", "-"], check=True)
    changes = History(project).changes("papers")
    assert {change.subject for change in changes} == {f"Change {paper.stem}" for paper in papers}
    assert "edited after it was committed, by 2 commits:" in show.text(prove.audit(project), words=True)


@pytest.mark.parametrize("passport", [{}, {"job": 1}, {"inputs": {"slices": 1}}, [], "no JSON"])
def test_a_passport_that_is_none_is_a_break_and_no_crash(project, passport):
    text = passport if isinstance(passport, str) else canonical_json(passport)
    (project / RESULT.path).write_text(text, encoding="utf-8")
    assert any(link.path == RESULT.path for link in broken(project))


# --- the verb


def test_each_remedy_is_said_once_behind_all_that_it_is_for(project, monkeypatch):
    for result in (RESULT, OTHER):
        (project / result.outputs["metrics"]).unlink()
    output = run(project, monkeypatch).output
    commands = [line for line in output.splitlines() if line.startswith("  snakemake ")]
    assert len(commands) == len({line.partition(" -- ")[0] for line in commands}) < 4
    assert output.count(f" {RESULT.path}") < 4 and output.count("to do, where it applies") == 1


def test_what_is_made_again_is_said_line_by_line_where_there_is_no_terminal(capsys):
    for what in ("models/a", "recompute data/slices/a.h5"):
        progress(what)
    assert capsys.readouterr().err == "recompute data/slices/a.h5\n"


def test_the_verb_prints_a_chain_and_its_exit_code_says_whether_it_holds(project, monkeypatch):
    done = run(project, monkeypatch, *ONE)
    assert done.exit_code == 0 and "numbers: 1 proven" in done.output
    for path in (REPORT, LEDGERS[1], RESULT.path, MODEL.path, SLICES.path, RAW):
        assert path in done.output
    as_json = run(project, monkeypatch, *ONE, "--json", "--strict")
    found = json.loads(as_json.output)
    assert as_json.exit_code == 0 and found["state"] == "holds"
    assert found["artefacts"][MODEL.path]["sha256"] == sha256_file(project / MODEL.path)
    assert str(project) not in as_json.output
    edit_metric(project)
    done = run(project, monkeypatch)
    assert done.exit_code == 1 and "BROKEN" in done.output and RESULT.outputs["metrics"] in done.output


@pytest.mark.slow
def test_an_evaluation_run_again_gives_the_same_metrics_or_names_the_one_that_differs(project):
    edit_metric(project, with_passport=True)  # and everything above it, as well as one can
    ledgers(project)
    proof = formats.read_passport(project / REPORT)
    given = json.dumps(proof["parameters"])
    with chdir(project):  # by the notebook itself
        report.run(
            Path(".params/report/unoranic.json"), Path("notebooks/unoranic.ipynb"), given, Path(REPORT)
        )
    forge(project / REPORT, lambda passport: passport.update(source=proof["source"]))
    found = prove.audit(project, ONE, recompute=True).links
    again = {path: link for path, each in found.items() for link in each if link.check == "recompute"}
    assert set(again) == {RESULT.path, OTHER.path, SLICES.path, REPORT}
    assert {again[path].state for path in (OTHER.path, SLICES.path, REPORT)} == {State.HOLDS}
    assert [link for link in found[RESULT.path] if link.state is State.BROKEN] == [again[RESULT.path]]
    assert "reconstruction/psnr was 35.9 and is " in again[RESULT.path].message
