"""The imaging steps on a head of `phantom-brain`, whose true position and brain are known.

With the parameters of params.yaml: from raw files by the jobs themselves, bias field to brain mask.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.imaging import volume
from latent_anatomy.imaging.transform import Transform
from latent_anatomy.jobs.imaging import bias, coregister, normalise, register, strip
from latent_anatomy.jobs.imaging.step import Place
from latent_anatomy.pipeline import params, resolve
from latent_anatomy.provenance.files import write_json

pytestmark = pytest.mark.slow
STEPS = (bias, coregister, register, strip, normalise)


@pytest.fixture(scope="module")
def prepared(made_once):
    """A patient's place after all steps, and the truth about the patient."""
    dataset = replace(datasets.find("phantom-brain"), train=0, val=0, test=1)
    subject = dataset.subjects[0]

    def make(folder: Path) -> None:
        dataset.generate(folder / "raw")
        place = Place(dataset, subject, folder / "raw", folder / "interim")
        jobs = resolve.resolve(params.load(ROOT / "params.yaml"))
        for step in STEPS:
            name = step.__name__.rpartition(".")[2]
            write_json(folder / "job.json", jobs[f"imaging/phantom-brain/{name}"])
            step.run(folder / "job.json", place)

    folder = made_once("phantom-brain", make)
    return Place(dataset, subject, folder / "raw", folder / "interim"), dataset.truth(subject)


def brain_points(truth) -> np.ndarray:
    """Some thousand points of the brain in the scanner's world of the FLAIR image, mm."""
    voxels = np.argwhere(truth.brain.values > 0)[::37]
    return voxels @ truth.brain.affine[:3, :3].T + truth.brain.affine[:3, 3]


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def test_the_atlas_is_reached_within_a_millimetre(prepared):
    """Of the best affine: what the deformation leaves, no affine can reach."""
    place, truth = prepared
    points = brain_points(truth)
    from_atlas = Transform.read(place.step("register") / "to_atlas.txt")
    error = np.linalg.norm(from_atlas.inverse().points(points) - moved(truth.affine, points), axis=1)
    assert np.median(error) < 1 and error.max() < 3


def test_t1_lies_on_flair_within_a_millimetre(prepared):
    place, truth = prepared
    points = brain_points(truth)
    to_t1 = Transform.read(place.step("coregister") / "t1.txt")
    error = np.linalg.norm(to_t1.points(points) - moved(np.linalg.inv(truth.t1_to_flair), points), axis=1)
    assert np.median(error) < 1 and error.max() < 2


def test_the_brain_is_found(prepared):
    place, _ = prepared
    found, known = (
        volume.read_mask(place.volume(step, "brain")).values > 0 for step in ("strip", "register")
    )
    assert 2 * (found & known).sum() / (found.sum() + known.sum()) > 0.95


def test_lesions_are_brighter_than_the_brain_around_them_in_atlas_space(prepared):
    """The mask came along with the image."""
    place, _ = prepared
    image = volume.read(place.volume("normalise", "flair")).values
    lesion = volume.read_mask(place.volume("register", "lesion")).values > 0
    brain = volume.read_mask(place.volume("strip", "brain")).values > 0
    assert lesion.any() and (lesion & brain).sum() > 0.99 * lesion.sum()
    assert np.median(image[lesion & brain]) > np.quantile(image[brain], 0.8)
