"""Encoders of other studies below rotations and the consistency protocol."""

import pytest
import torch
import yaml
from conftest import ROOT

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.evaluation.protocols import consistency
from latent_anatomy.jobs.inputs import shape_of, splits_on
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import params, resolve
from latent_anatomy.training.method import Shape, frozen

HEART = Shape(channels=1, height=32, width=32, classes=0, structures=("myocardium",))
QUICK = consistency.Params(clusters=(3,), codebooks=1, subcohorts=1)


def build(name: str, shape: Shape, on=None, **chosen):
    module = methods.load(name).Method
    torch.manual_seed(1)
    return module(module.Params(**chosen), shape, **({} if on is None else {"on": frozen(on)}))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Shape and splits of the drawn pairs."""
    folder = tmp_path_factory.mktemp("raw")
    dataset = datasets.find("phantom-breastmnist-pairs")
    dataset.generate(folder)
    slices = dataset.to_slices(folder)
    return shape_of(slices), splits_on(torch.device("cpu"), slices)


@pytest.mark.parametrize("part", ["anatomy", "characteristics"])
def test_each_of_two_embeddings_is_what_a_run_stands_on_that_names_it(pairs, part):
    shape, splits = pairs
    base = build("unoranic", shape, width=4, latent=6)
    method = build("random_directions", shape, base, rank=0, embedding=part)
    method.fit(splits["train"])
    kept = method.encode(splits["test"].images)["biological"].double()
    with torch.no_grad():
        own = method.standard(base.encode(splits["test"].images)[part].double())
    torch.testing.assert_close(torch.cdist(kept, kept), torch.cdist(own, own), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("base", "chosen", "embedding"),
    [
        ("unoranic", {"width": 4, "latent": 6}, "anatomy"),
        ("autoencoder", {"width": 4, "latent": 6}, ""),
        ("variational_autoencoder", {"widths": (4, 8), "features": 6}, ""),
    ],
)
def test_an_encoder_of_any_study_is_turned_and_asked_by_the_same_probes(pairs, base, chosen, embedding):
    shape, splits = pairs
    method = build("rotation", shape, build(base, shape, **chosen), embedding=embedding)
    method.fit(splits["train"])
    assert protocols.applies("consistency", method)
    metrics = consistency.evaluate(method, splits, QUICK, "binary-class", 1).metrics
    for name in ("technical/linear", "technical/mlp", "biology/linear", "biology/mlp", "ari", "retrieval"):
        assert 0 <= metrics[f"consistency/{name}"] <= 1
    assert metrics["consistency/technical/chance"] == 0.2


def test_of_sdnet_z_is_turned_by_the_modality_and_its_rank_is_one_fewer_than_modalities():
    from dataclasses import replace

    from synthetic_latents import paired

    data = paired(people=6, noise=0.05)
    images = torch.nn.functional.interpolate(data.images, (32, 32))
    data = replace(data, stored=images, pair=None, labels=None)
    base = build("sdnet", HEART, width=4, depth=2, critic_width=4, latent=5)
    method = build("label_rotation", HEART, base, embedding="modality")
    method.fit(data)
    parts = method.encode(data.images)
    assert parts["technical"].shape == (len(data), 1) and parts["biological"].shape == (len(data), 4)
    metrics = consistency.evaluate(method, dict.fromkeys(("train", "test"), data), QUICK, "", 1).metrics
    assert "consistency/technical/linear" in metrics and "consistency/ari" not in metrics


def test_each_run_of_the_joint_study_stands_on_the_run_of_its_own_study_on_the_same_images():
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    jobs = resolve.resolve(params.validate(content | {"data": "at-hand"}))
    runs = content["studies"]["encoders"]["runs"]
    for dataset in content["collections"]["at-hand"]["studies"]["encoders"]["datasets"]:
        below = {run: jobs[f"train/encoders/{dataset}/{run}/seed-1"]["on"] for run in runs}
        assert {run: below[run]["study"] for run in ("anatomy", "characteristics", "vae-latent")} == {
            "anatomy": "unoranic",
            "characteristics": "unoranic",
            "vae-latent": "ra",
        }
        assert below["anatomy"] == below["characteristics"] == below["anatomy-rotation"]
        assert all(job["dataset"] == dataset for job in below.values())
        assert {f"evaluate/encoders/{dataset}/{run}/seed-1" for run in runs} <= jobs.keys()
