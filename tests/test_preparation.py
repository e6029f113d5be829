"""From `imaging` of params.yaml to the jobs of the steps: complete, without subjects, or one clear line."""

from dataclasses import replace

import pytest

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps
from latent_anatomy.pipeline.params import Imaging, ParamsError, Prepared

BRAIN = "phantom-brain"
WITH_IMAGES = ("bias", "coregister", "register", "strip", "normalise")


def jobs(dataset: str = BRAIN, steps: dict | None = None, own: dict | None = None, **more) -> dict[str, dict]:
    """The jobs of a data set with parameters for all data sets, and for it alone."""
    prepared = {dataset: Prepared(steps=own or {}, **more)}
    return imaging_steps.jobs(Imaging(steps=steps or {}, datasets=prepared), dataset)


def test_a_step_has_all_its_parameters_and_no_subject():
    names = {subject.name for subject in datasets.find(BRAIN).subjects}
    for step, job in jobs().items():
        assert job["params"].keys() == imaging_steps.STEPS[step].model_fields.keys()
        assert job["dataset"] == BRAIN and job["job"] == ("slice" if step == "slab" else step)
        assert not any(name in str(job) for name in names)


def test_the_steps_that_a_data_set_goes_through():
    assert tuple(jobs()) == (*WITH_IMAGES, "gate", "slab")
    alone = tuple(step for step in WITH_IMAGES if step != "coregister")
    assert imaging_steps.steps("chris-t1") == (*alone, "gate", "slab")
    assert imaging_steps.steps("ms-lesion-mni") == ("register", "strip", "normalise", "gate", "slab")


def test_what_images_are_called_is_said_where_they_are_read():
    for step, job in jobs().items():
        assert (job.get("sliced"), job.get("guide")) == (
            ("flair", "t1") if step in WITH_IMAGES else (None, None)
        )
        assert ("atlas" in job) == (step in ("register", "strip", "slab"))


def test_a_data_set_may_have_other_parameters_than_all():
    steps = {"register": {"transform": "affine", "starts": 3}, "atlas": {"spacing_mm": 2}}
    own = {"register": {"starts": 1}, "atlas": {"spacing_mm": 4}}
    found = jobs(steps=steps, own=own)
    assert (found["register"]["params"]["transform"], found["register"]["params"]["starts"]) == ("affine", 1)
    assert found["coregister"]["params"]["transform"] == "rigid"
    assert [found[step]["atlas"]["spacing_mm"] for step in ("register", "strip", "slab")] == [4, 4, 4]
    others = imaging_steps.jobs(Imaging(steps=steps), "chris-t1")
    assert others["register"]["params"]["starts"] == 3 and others["slab"]["atlas"]["spacing_mm"] == 2


@pytest.mark.parametrize(
    ("step", "block", "changed"),
    [
        ("bias", {"iterations": [3]}, {"bias"}),
        ("register", {"starts": 1}, {"register"}),
        ("slab", {"count": 3}, {"slab"}),
        ("gate", {"limit": 3.5}, {"gate"}),
        ("atlas", {"spacing_mm": 3}, {"register", "strip", "slab"}),
    ],
)
def test_a_parameter_changes_the_jobs_that_read_it_alone(step, block, changed):
    before, after = jobs(), jobs(own={step: block})
    assert {name for name in before if before[name] != after[name]} == changed


def test_who_is_left_out_is_the_gates_business_alone():
    before, after = jobs(), jobs(excluded={"patient03": "motion"})
    assert {name for name in before if before[name] != after[name]} == {"gate"}
    assert after["gate"]["excluded"] == {"patient03": "motion"}


def test_the_brain_of_what_is_stripped_already_is_given():
    found = jobs("ms-lesion-mni", steps={"strip": {"kind": "atlas"}})
    assert found["strip"]["params"]["kind"] == "given" and found["strip"]["prepared"]
    assert jobs(steps={"strip": {"kind": "atlas"}})["strip"]["params"]["kind"] == "atlas"


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ({"steps": {"bias": {"rounds": 3}}}, "imaging.steps.bias.rounds: "),
        ({"steps": {"atlas": {"name": "talairach"}}}, "imaging.steps.atlas.name: "),
        ({"own": {"slab": {"count": 0}}}, f"imaging.datasets.{BRAIN}.steps.slab.count: "),
        ({"steps": {"skull": {}}}, "imaging.steps: expected steps among atlas, bias, "),
        ({"own": {"skull": {}}}, f"imaging.datasets.{BRAIN}.steps: expected steps among "),
        ({"excluded": {"patient99": "motion"}}, f"imaging.datasets.{BRAIN}.excluded: expected subjects"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(found, named):
    with pytest.raises(ParamsError) as caught:
        jobs(**found)
    assert str(caught.value).startswith(f"params.yaml: {named}")
    assert len(str(caught.value).splitlines()) == 1 and "found" in str(caught.value)


def test_whom_a_folder_has_that_is_not_here_nobody_knows(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENT_ANATOMY_MIRROR", raising=False)
    assert jobs("bids-mine", excluded={"sub-01": "motion"})["gate"]["excluded"] == {"sub-01": "motion"}


def test_a_phantom_of_other_size_has_the_same_jobs(monkeypatch):
    """The number of subjects is no parameter: a new one leaves the others as they are."""
    before = jobs()
    fewer = replace(datasets.find(BRAIN), train=2)
    monkeypatch.setattr(datasets, "DATASETS", (fewer,))
    assert jobs() == before
