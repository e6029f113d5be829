"""From params.yaml to the files of jobs: complete, canonical, and written only where they differ."""

import ast
import json
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT

from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import artefacts, job_files, makers, params, resolve
from latent_anatomy.provenance import plans
from latent_anatomy.provenance.files import canonical_json, sha256_file

CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text())
RUN = "unoranic/{dataset}/{run}/seed-1"


def resolved(**blocks: object) -> dict[str, dict]:
    """The jobs of params.yaml with these top-level blocks instead."""
    return resolve.resolve(params.validate(deepcopy(CONTENT) | blocks))


def with_method(run: str, **chosen: object) -> dict:
    """The block `methods` with more parameters for a run."""
    return CONTENT["methods"] | {run: CONTENT["methods"][run] | chosen}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_job_has_every_parameter_of_its_method():
    for name, job in resolved().items():
        if name.startswith("train/"):
            model = methods.load(job["method"]).Method.Params
            assert job["params"].keys() == model.model_fields.keys()
            assert model.model_validate(job["params"]).model_dump(mode="json") == job["params"]


def test_real_runs_have_the_length_of_the_paper_unless_shortened():
    real, at_hand = resolved(data="real"), resolved(data="at-hand")
    default = methods.load("autoencoder").Params().epochs
    ae = {
        name: job["params"]["epochs"]
        for name, job in real.items()
        if job["job"] == "train" and job["run"] == "ae"
    }
    assert set(ae.values()) == {default} and len(ae) == 5 * 3
    changes = CONTENT["collections"]["at-hand"]["studies"]["unoranic"]["changes"]
    for change in (change for change in changes if "params" in change):  # others change seeds
        for run in change["runs"]:
            for dataset in change["datasets"]:
                job = at_hand["train/" + RUN.format(run=run, dataset=dataset)]
                assert job["params"]["epochs"] == change["params"]["epochs"]
    assert (
        at_hand["train/" + RUN.format(run="ae", dataset="breastmnist-resaved")]["params"]["epochs"] == default
    )


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_report_is_made_again_when_a_module_changes_that_its_notebook_imports(path):
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names = {
        name
        for node in imports
        for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names))
    }
    sources = {f"{name.replace('.', '/')}.py": name for name in names}
    modules = {name for path, name in sources.items() if (ROOT / "src" / path).is_file()}
    # a study called so that the notebook for every study is its own
    jobs = resolved(studies=CONTENT["studies"] | {"study": {"runs": ["ae"], "evaluation": {}}})
    assert modules and modules <= set(jobs[f"report/{path.stem}"]["modules"])
    assert "ledger/unoranic" in jobs and "ledger/study" not in jobs, "a ledger has no rows without a paper"


def test_a_parameter_changes_the_jobs_of_its_run_alone():
    before, after = resolved(), resolved(methods=with_method("ae", latent=128))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if name.startswith(("train/", "evaluate/")) and "/ae/" in name}


@pytest.mark.parametrize(
    ("blocks", "named"),
    [
        ({"methods": with_method("ae", latents=8)}, "methods.ae.latents"),
        ({"methods": with_method("ae", latent="wide")}, "methods.ae.latent"),
        ({"methods": with_method("ae", epochs=0)}, "methods.ae.epochs"),
    ],
)
def test_a_wrong_parameter_of_a_method_is_named(blocks, named):
    with pytest.raises(params.ParamsError, match=rf"^params\.yaml: {named}: .*found") as caught:
        resolved(**blocks)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("evaluation", "named"),
    [
        ({"imaginary": {}}, "studies.unoranic.evaluation: expected protocols"),
        ({"probing": {"draw": 3}}, "studies.unoranic.evaluation.probing.draw: "),
    ],
)
def test_a_wrong_protocol_or_setting_is_named(evaluation, named):
    studies = deepcopy(CONTENT["studies"])
    studies["unoranic"]["evaluation"] = evaluation
    collections = deepcopy(CONTENT["collections"])
    for collection in collections.values():
        collection["studies"]["unoranic"].pop("evaluation", None)
    with pytest.raises(params.ParamsError) as caught:
        resolved(studies=studies, collections=collections, data="phantom")
    assert str(caught.value).startswith(f"params.yaml: {named}")


def test_a_wrong_setting_of_a_collection_is_named():
    collections = deepcopy(CONTENT["collections"])
    collections["phantom"]["studies"]["unoranic"]["evaluation"] = {"probing": {"draws": 0}}
    with pytest.raises(params.ParamsError, match=r"phantom\.studies\.unoranic\.evaluation\.probing\.draws: "):
        resolved(collections=collections, data="phantom")


def test_files_are_canonical_and_written_once(tmp_path, monkeypatch):
    found = params.validate(CONTENT)
    job_files.write(found, tmp_path)
    for name, job in makers.with_makers(resolve.resolve(found)).items():
        assert (tmp_path / f"{name}.json").read_text() == canonical_json(job)
    before = times(tmp_path)
    monkeypatch.setattr(resolve, "resolve", lambda _: pytest.fail("resolved though nothing changed"))
    job_files.write(found, tmp_path)
    assert times(tmp_path) == before


def test_only_the_files_that_differ_are_written(tmp_path):
    job_files.write(params.validate(CONTENT), tmp_path)
    before = times(tmp_path)
    job_files.write(params.validate(CONTENT | {"methods": with_method("ae", latent=128)}), tmp_path)
    after = times(tmp_path)
    changed = {path.relative_to(tmp_path).as_posix() for path in before if before[path] != after[path]}
    changed -= {plans.WRITTEN}
    assert changed
    # and of what is made of these, which names the jobs that make it
    assert all("/ae/" in name or name.startswith("paired-tests/") for name in changed)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}")])
def test_a_lost_or_changed_file_is_written_again(tmp_path, damage):
    found = params.validate(CONTENT)
    job_files.write(found, tmp_path)
    path = tmp_path / "train" / (RUN.format(run="ae", dataset="phantom-retinamnist") + ".json")
    right = path.read_text()
    damage(path)
    job_files.write(found, tmp_path)
    assert path.read_text() == right


def test_a_write_that_was_interrupted_is_not_taken_for_finished(tmp_path, monkeypatch):
    first = params.validate(CONTENT)
    job_files.write(first, tmp_path)
    written = []

    def stop_after_ten(path, text):
        if len(written) == 10:
            raise KeyboardInterrupt
        written.append(path.write_text(text))

    with monkeypatch.context() as patch:
        patch.setattr(job_files, "write_text_if_changed", stop_after_ten)
        with pytest.raises(KeyboardInterrupt):
            job_files.write(params.validate(CONTENT | {"methods": with_method("ae", latent=128)}), tmp_path)
    job_files.write(first, tmp_path)
    for name, job in makers.with_makers(resolve.resolve(first)).items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == job


def test_a_protocol_runs_on_the_data_sets_that_it_names():
    for name, job in resolved(data="real").items():
        if name.startswith("evaluate/unoranic/"):
            assert ("robustness" in job["evaluation"]) == (job["dataset"] == "pneumoniamnist")
            assert "probing" in job["evaluation"]


def test_seeds_may_be_those_of_some_runs_and_data_sets():
    collections = deepcopy(CONTENT["collections"])
    chosen = collections["phantom"]["studies"]
    here, cohort = "phantom-retinamnist", "phantom-acdc.fold.25"
    chosen["unoranic"]["changes"] += [{"runs": ["ae"], "datasets": [here], "seeds": [1, 5]}]
    chosen["sdnet"]["changes"] += [
        {"datasets": ["phantom-acdc"], "seeds": [2]},
        {"datasets": [cohort], "seeds": [3]},
    ]
    before, after = resolved(), resolved(collections=collections, data="phantom")
    trained = {name for name in after.keys() - before.keys() if name.startswith("train/")}
    own = {name for name in trained if name.startswith("train/unoranic/")}
    assert own == {f"train/unoranic/{here}/ae/seed-5"}
    assert {name.rsplit(".", 1)[1] for name in trained - own if f"/{cohort}/" in name} == {"seed-3"}
    assert {name.rsplit(".", 1)[1] for name in trained - own if f"/{cohort}/" not in name} == {"seed-2"}
    tests = after[f"paired-tests/unoranic/{here}"]
    assert tests["seeds"] == [1] and tests["seeds_of"] == {"ae": [1, 5]}
    assert "seeds_of" not in after["paired-tests/unoranic/phantom-breastmnist"]


def test_an_impossible_value_for_some_data_sets_names_where_it_stands():
    content = deepcopy(CONTENT)
    changes = [{"runs": ["ae"], "params": {"epochs": 0}}]
    content["collections"]["phantom"]["studies"]["unoranic"]["changes"] = changes
    place = r"phantom\.studies\.unoranic\.changes\.params\.epochs.*found 0"
    with pytest.raises(params.ParamsError, match=place):
        resolve.resolve(params.validate(content))


def phantom(**changed: object) -> dict[str, dict]:
    """The jobs of the phantoms when a key of their part of the study `baur` is changed."""
    collections = deepcopy(CONTENT["collections"])
    collections["phantom"]["studies"]["baur"] |= changed
    return resolved(collections=collections, data="phantom")


def test_models_tested_elsewhere_are_trained_once_and_say_on_what():
    external = [{"dataset": "phantom-retinamnist", "trained_on": "phantom-brain"}]
    before, after = phantom(), phantom(external=external)
    new = {name: after[name] for name in after.keys() - before.keys()}
    runs = CONTENT["studies"]["baur"]["runs"]
    assert new.keys() == {f"evaluate/baur/phantom-retinamnist/{run}/seed-1" for run in runs} | {
        "paired-tests/baur/phantom-retinamnist"
    }
    for run in runs:
        job = new[f"evaluate/baur/phantom-retinamnist/{run}/seed-1"]
        trained = after[f"train/baur/phantom-brain/{run}/seed-1"]
        assert job["trained_on"] == "phantom-brain" and job["params"] == trained["params"]
        assert "trained_on" not in after[f"evaluate/baur/phantom-brain/{run}/seed-1"]


def test_a_change_without_runs_is_one_of_all_runs_and_may_be_about_a_protocol():
    settings = {"post": {"erosion_iterations": 9}}
    change = {"datasets": ["phantom-brain"], "evaluation": {"lesions": settings}}
    before, after = phantom(changes=[]), phantom(changes=[change])
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        f"evaluate/baur/phantom-brain/{run}/seed-1" for run in CONTENT["studies"]["baur"]["runs"]
    }
    for name in changed:
        assert after[name]["evaluation"]["lesions"]["post"]["erosion_iterations"] == 9


def test_runs_that_are_asked_about_a_part_of_the_test_subjects_are_compared_with_none():
    """Their job says so, their training does not change, and nobody is tested against them."""
    before = phantom(changes=[])
    after = phantom(changes=[{"runs": ["dae"], "test_subjects": 2}])
    own = "evaluate/baur/phantom-brain/dae/seed-1"
    assert {name for name in before if before[name] != after[name]} == {
        own,
        "paired-tests/baur/phantom-brain",
    }
    assert after[own] == before[own] | {"test_subjects": 2}
    runs = CONTENT["studies"]["baur"]["runs"]
    assert after["paired-tests/baur/phantom-brain"]["runs"] == [run for run in runs if run != "dae"]
    made = artefacts.artefacts(after)
    assert not [path for path in made["paired-tests/baur/phantom-brain"].inputs if path.startswith("dae/")]
    assert any("/dae/" in each.path for each in made["report/baur"].made_of), "the report shows them"


def test_a_diffusion_model_at_hand_is_trained_once_and_for_nothing_to_follow_from():
    jobs = resolved(data="at-hand")
    for run in ("ddpm-simplex", "ddpm-gaussian"):
        own = [name for name in jobs if name.startswith("train/ra/") and f"/{run}/" in name]
        assert own == [f"train/ra/lgg-t1/{run}/seed-1"]
        chosen = jobs[own[0]]["params"]
        assert chosen["epochs"] * chosen["steps_per_epoch"] == 500
        assert jobs[own[0].replace("train/", "evaluate/")]["test_subjects"] == 25
        assert run not in jobs["paired-tests/ra/lgg-t1"]["runs"]
    for name, job in jobs.items():
        if name.startswith("train/ra/") and "ddpm" not in name and "steps_per_epoch" in job["params"]:
            steps = job["params"]["epochs"] * job["params"]["steps_per_epoch"]
            assert steps == (600 if "kermany" in name else 1500), name
    assert jobs["paired-tests/ra/lgg-t1"]["seeds"] == [1, 2, 3]
    assert jobs["paired-tests/ra/kermany-130.turns.100"]["folds"] == [0, 1, 2, 3, 4]


def test_weights_that_a_protocol_needs_are_inputs_of_the_evaluation_alone():
    jobs = resolved(data="at-hand")
    job = jobs["evaluate/ra/lgg-t1/vae/seed-1"]
    [(name, checksum)] = job["evaluation_weights"].items()
    assert name.startswith("squeezenet-keras/") and checksum.startswith("sha256:")
    assert "evaluation_weights" not in jobs["train/ra/lgg-t1/vae/seed-1"]
    made = artefacts.artefacts(jobs)
    evaluated = made["evaluate/ra/lgg-t1/vae/seed-1"]
    assert evaluated.inputs[f"weights/{name}"] == f"data/raw/{name}"
    assert made["raw/squeezenet-keras"] in evaluated.made_of and "raw/squeezenet-keras" in jobs
    assert f"weights/{name}" not in made["train/ra/lgg-t1/vae/seed-1"].inputs
    assert not any("evaluation_weights" in each for each in resolved().values()), "phantoms need no files"


def test_every_collection_has_a_report_of_every_study_and_of_the_volumes():
    for data in CONTENT["collections"]:
        reports = {name for name in resolved(data=data) if name.startswith("report/")}
        assert reports == {"report/qc", "report/index", *(f"report/{study}" for study in CONTENT["studies"])}


@pytest.mark.parametrize("name", ["qc", "index"])
def test_a_study_cannot_take_the_place_of_a_page_of_all(name):
    content = CONTENT | {"studies": CONTENT["studies"] | {name: CONTENT["studies"]["baur"]}}
    with pytest.raises(params.ParamsError, match=f"studies: expected no study '{name}'"):
        resolve.resolve(params.validate(content))


def test_another_data_set_changes_no_source_of_a_step(monkeypatch):
    """The sources of a job are those of its own data set alone."""
    from latent_anatomy.provenance.sources import Sources, running_sources

    other = Sources(lambda name: _with_another(name, running_sources()._read(name)))
    for name, job in resolved().items():
        if name.startswith(("imaging/", "slice/", "train/", "evaluate/")):
            assert other.digest(*job["modules"]) == job["source"], name


def _with_another(name: str, text: bytes | None) -> bytes | None:
    """The sources when datasets/registry.py and the family of IXI have changed."""
    changed = name in ("datasets/registry.py", "datasets/ixi.py")
    return text + b"\n# changed\n" if changed else text


def test_a_users_folder_that_changes_is_noticed(tmp_path, monkeypatch):
    """Its files are no source and no parameter, but decide its jobs all the same."""
    mirror = tmp_path / "mirror" / "bids-mine"
    mirror.mkdir(parents=True)
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(mirror.parent))
    content = deepcopy(CONTENT) | {"imaging": {}, "data": "mine"}
    content["collections"]["mine"] = {
        "volumes": ["bids-mine"],
        "studies": {
            "unoranic": {"datasets": [], "seeds": [1]},
            "baur": {"datasets": ["bids-mine"], "seeds": [1]},
        },
    }

    def jobs_with(*suffixes: str) -> set[str]:
        names = ["participants.tsv", *(f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in suffixes)]
        texts = {"participants.tsv": "participant_id\tsplit\nsub-01\ttrain\n"}
        for name in names:
            (mirror / name).parent.mkdir(parents=True, exist_ok=True)
            (mirror / name).write_text(texts.get(name, name))
        lines = (f"{sha256_file(mirror / name)}  {name}\n" for name in names)
        (mirror / "SHA256SUMS").write_text("".join(lines))
        job_files.write(params.validate(content), tmp_path / "jobs")
        return {path.stem for path in (tmp_path / "jobs/imaging/bids-mine").iterdir()}

    alone = {"bias", "register", "strip", "normalise", "gate"}
    assert jobs_with("FLAIR") == alone
    assert jobs_with("FLAIR", "T1w") == alone | {"coregister"}
