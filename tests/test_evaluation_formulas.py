"""What a formula finds alone: on methods that add everything, or nothing, to theirs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from test_evaluation_anomalies import Flat, splits

from latent_anatomy.evaluation.protocols import anomalies, formulas
from latent_anatomy.networks.lpips import Lpips
from latent_anatomy.training.method import frozen
from latent_anatomy.training.perceptual_map import seen_and_equalised


class Equal(Flat):
    """Its reconstruction is the mean of what it is shown as healthy: it adds nothing to its formula."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def reconstruct(self, images):
        return self.mean.expand_as(images)


class Unlike(Flat):
    """Its formula is how bright the image is: the reconstruction does not matter."""

    def residual(self, images, reconstructions):
        return images


def ask(method):
    data = splits()
    return formulas.evaluate(method, data, formulas.Params(map_perceptual="random"), "", 0), data


def test_a_method_that_reconstructs_the_mean_is_the_mean():
    results, _ = ask(Equal(formulas.mean_image(splits()["train"])))
    for key in formulas.COLUMNS:
        assert results.metrics[f"formulas/own-own/{key}"] == results.metrics[f"formulas/mean-own/{key}"]
    assert results.metrics["formulas/gap/auc"] <= 0 and results.metrics["formulas/gap/f1_scale_free"] <= 0


def test_a_formula_without_the_reconstruction_leaves_nothing_to_the_method():
    metrics = ask(Unlike())[0].metrics
    for key in formulas.GAPS:
        assert metrics[f"formulas/gap/{key}"] == 0
    assert metrics["formulas/own-own/auc"] == metrics["formulas/blurred-own/auc"]


def test_the_own_map_has_the_numbers_of_the_protocol_of_anomalies():
    results, data = ask(Flat())
    theirs = anomalies.evaluate(Flat(), data, anomalies.Params(), "", 0).metrics
    ours = results.metrics
    assert ours["formulas/own-own/auc"] == theirs["anomalies/detection/auc"]
    for key in ("recall", "f1", "f1_scale_free"):
        assert ours[f"formulas/own-own/{key}"] == theirs[f"anomalies/validation/total/{key}"]
        assert ours[f"formulas/own-own/{key}"] == ours[f"formulas/own-absolute/{key}"], (
            "its formula is |x - r|"
        )
    assert [row[0] for row in results.tables["all"].rows] == [
        f"{reconstruction}-{formula}"
        for reconstruction in ("own", "mean", "blurred")
        for formula in ("own", "absolute", "ssim")
    ], "SqueezeNet sees nothing in 24 x 24"


class Reversed(Flat):
    """Its map is RA's, through features that are drawn."""

    def residual(self, images, reconstructions):
        return seen_and_equalised(images, reconstructions, frozen(Lpips()), 2.0)


def test_the_map_of_ra_is_asked_of_every_method():
    data = {name: replace(each, stored=F.interpolate(each.stored, 48)) for name, each in splits().items()}
    data = {name: replace(each, masks=None, mask_names=()) for name, each in data.items()}
    of_ra, of_another = (
        formulas.evaluate(method, data, formulas.Params(map_perceptual="random"), "", 0).metrics
        for method in (Reversed(), Flat())
    )
    for key in formulas.COLUMNS:
        for reconstruction in ("own", "mean", "blurred"):
            perceptual = f"formulas/{reconstruction}-perceptual/{key}"
            assert (
                of_ra[perceptual] == of_another[perceptual] == of_ra[f"formulas/{reconstruction}-own/{key}"]
            )
    assert of_another["formulas/own-perceptual/f1"] != of_another["formulas/own-own/f1"]
    assert formulas.weights(formulas.Params()) and not formulas.weights(
        formulas.Params(map_perceptual="random")
    )


def test_the_pieces_are_what_they_say():
    random = np.random.default_rng(0)
    images, others = (torch.tensor(random.random((2, 1, 16, 16)), dtype=torch.float32) for _ in range(2))
    whole = structural_similarity(images[0, 0].numpy(), others[0, 0].numpy(), data_range=1, full=True)[1]
    np.testing.assert_allclose(formulas.dissimilarity(images, others)[0, 0], (1 - whole) / 2, atol=1e-6)
    assert formulas.dissimilarity(images, images).abs().max() < 1e-6
    assert torch.equal(formulas.absolute(images, others)[:, 0], (images - others).abs()[:, 0])
    flat = torch.full((1, 1, 9, 9), 0.25)
    assert (
        torch.allclose(formulas.blurred(flat, 2.0), flat)
        and formulas.blurred(images, 2.0).std() < images.std()
    )
    train = splits()["train"]
    ill = torch.tensor([0, 0, 0, 1, 1, 1])
    half = formulas.mean_image(type(train)(train.stored, labels=ill))
    assert torch.allclose(half, train.images[:3].mean(dim=0, keepdim=True)), "of the healthy alone"


def test_without_boxes_there_is_the_auc_alone():
    data = splits()
    for each in data.values():
        object.__setattr__(each, "boxes", None)
    metrics = formulas.evaluate(Flat(), data, formulas.Params(map_perceptual="random"), "", 0).metrics
    assert {name.split("/")[-1] for name in metrics} == {"auc"}
    assert not formulas.possible(data | {"train": data["test"].__class__(data["train"].stored[:0])})
    with pytest.raises(ValueError, match="expected finite anomaly scores"):
        method = Flat()
        method.scale = -1.0
        formulas.evaluate(method, data, formulas.Params(map_perceptual="random"), "", 0)
