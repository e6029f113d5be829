"""What every method that learns to segment must do; what is one's own is tested in the file of its name."""

from dataclasses import replace

import pytest
import torch
from synthetic_hearts import SHAPE, batches, blind_dice, build, dice, hearts, trained
from training_runs import Interrupted, same, stepped, stop_after

from latent_anatomy.methods import registry as methods

FACTORISE = ("sdnet", "spatial_factorisation")

# Settings as released


@pytest.mark.parametrize(
    ("name", "expected", "selection"),
    [
        (
            "unet",
            {"width": 64, "depth": 4, "batch_size": 4, "epochs": 500, "learning_rate": 1e-4, "beta1": 0.9,
             "decay": 1e-4, "decay_per": "update"},
            (1e-3, 100, False),
        ),
        ("self_train", {"rounds": 3, "lambda_unlabelled": 1}, (1e-3, 100, False)),
        (
            "sdnet",
            {"channels": 8, "latent": 8, "width": 64, "critic_width": 64, "pool": 50, "lambda_dice": 10,
             "lambda_adversarial": 10, "lambda_kl": 0.01, "lambda_reconstruction": 1, "lambda_z": 1,
             "spectral_weight": 10, "learning_rate": 1e-4, "beta1": 0.5, "decay": 1e-4, "batch_size": 4},
            (1e-2, 100, False),
        ),
        (
            "spatial_factorisation",
            {"latent": 16, "critic_width": 32, "beta1": 0.5, "decay": 0, "learning_rate": 1e-4,
             "batch_size": 4, "epochs": 500},
            (1e-3, 20, False),
        ),
    ],
)  # fmt: skip
def test_the_released_settings_are_the_defaults(name, expected, selection):
    params = methods.load(name).Params()
    assert {each: getattr(params, each) for each in expected} == expected
    rule = params.selection
    assert (rule.minimum_change, rule.patience, rule.restore) == selection


# Updates

EVERYTHING = {"anatomy_encoder", "segmentor", "modality_encoder", "decoder"}
MASK_GAN = [("supervised", {"network"}), ("unsupervised", {"network"}), ("critic", {"critic"})]
SDNET = ("supervised", "z_regression", "unsupervised", "z_regression", "critic")
TRAINED = {"supervised": EVERYTHING, "unsupervised": EVERYTHING, "critic": {"critic"}}
Z = {
    "released": {"modality_encoder", "decoder"},
    "printed": {"anatomy_encoder", "modality_encoder", "decoder"},
}


@pytest.mark.parametrize(
    ("name", "changed", "expected"),
    [
        ("unet", {}, [("supervised", {"network"})]),
        ("self_train", {}, [("supervised", {"network"})]),
        ("unet_strong", {}, [("supervised", {"network"})]),
        (
            "sdnet",
            {"channels": 4, "labelled_only": True},
            [("supervised", EVERYTHING), ("z_regression", Z["released"])],
        ),
        *(("mask_gan", {"repeated_passes": passes}, MASK_GAN) for passes in ("shared", "as_released")),
        *(
            (
                "sdnet",
                {"channels": 4, "repeated_passes": passes, "z_regression": form},
                [(update, TRAINED.get(update, Z[form])) for update in SDNET],
            )
            for passes in ("shared", "as_released")
            for form in Z
        ),
        (
            "spatial_factorisation",
            {},
            [
                ("unsupervised", {"network", "decoder"}),
                ("supervised", {"network", "decoder"}),
                ("critics", {"mask_critic", "image_critic"}),
            ],
        ),
    ],
)
def test_updates_in_their_order_train_exactly_their_networks_and_all_of_them(name, changed, expected):
    updates = []

    def after(update: str, moved: set[str], wholly: set[str]) -> None:
        updates.append((update, moved))
        if update == "supervised" or update.startswith("critic"):
            assert wholly == moved, "every parameter has a gradient"

    stepped(build(name, width=4, **changed), batches("labelled", "unlabelled", "masks", "images"), after)
    assert updates == expected


@pytest.mark.parametrize("name", ["unet", "mask_gan", *FACTORISE])
def test_channels_last_in_memory_change_no_more_than_the_last_bits(name):
    """Of what comes before rounding, which makes a bit into a pixel."""
    images, found = torch.rand(2, 1, 32, 32), []
    for layout in (torch.channels_last, torch.contiguous_format):
        method = build(name).eval()
        weights = [weight for weight in method.parameters() if weight.ndim == 4 and min(weight.shape[1:]) > 1]
        assert weights and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
        method.to(memory_format=layout)
        with torch.no_grad():
            found.append(getattr(method, "soft_anatomy", method.segment)(images))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


# What they may see


@pytest.mark.parametrize(
    ("name", "changed", "matters"),
    [
        ("unet", {}, {"masks": False, "images": False, "labelled masks": True}),
        ("self_train", {}, {"masks": False, "images": True}),
        *((name, {"real_masks": "labelled"}, {"masks": False}) for name in ("mask_gan", *FACTORISE)),
        *((name, {"real_masks": "all"}, {"masks": True}) for name in ("mask_gan", "sdnet")),
        (
            "spatial_factorisation",
            {"real_masks": "all", "epochs": 3},
            {"masks": True},
        ),
    ],
)
def test_of_unlabelled_slices_only_what_may_be_seen_matters(name, changed, matters, tmp_path):
    data = hearts(8, labelled=2)
    masks, stored, labelled = data.masks.clone(), data.stored.clone(), data.masks.clone()
    masks[~data.labelled] = 1 - masks[~data.labelled]
    stored[~data.labelled] = 255 - stored[~data.labelled]
    labelled[0] = 1 - labelled[0]
    others = {"masks": {"masks": masks}, "images": {"stored": stored}, "labelled masks": {"masks": labelled}}
    states = {}
    for what in (None, *matters):
        method = build(name, **changed)
        trained(method, tmp_path / str(what), replace(data, **others.get(what, {})))
        states[what] = method.state_dict()
    assert {what: not same(states[None], states[what]) for what in matters} == matters


# Bits


@pytest.mark.parametrize(
    ("name", "epochs", "stop"),
    [("unet", 2, 3), ("self_train", 3, 3), *((name, 2, 4) for name in ("mask_gan", *FACTORISE))],
)
def test_a_killed_run_goes_on_within_an_epoch_and_ends_with_the_same_bits(name, epochs, stop, tmp_path):
    """With the same fakes in a pool that is full; and the last batches of one image are no obstacle."""
    data = hearts(9, labelled=2)  # 5 labelled of 9: 2 or 3 steps an epoch
    whole, stopped, again = (build(name, seed, epochs=epochs) for seed in (0, 0, 99))
    trained(whole, tmp_path / "whole", data)
    begun = stop_after(stopped, stop)
    with pytest.raises(Interrupted):
        trained(stopped, tmp_path / "killed", data)
    assert len(begun) == stop + 1
    trained(again, tmp_path / "killed", data)
    assert same(whole.state_dict(), again.state_dict())
    assert all(torch.isfinite(value).all() for value in whole.state_dict().values())


# Capabilities


@pytest.mark.parametrize("name", ["unet", "self_train", "mask_gan", *FACTORISE])
@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, height=64, width=48)])
@torch.no_grad()
def test_capabilities_have_the_shapes_and_ranges_of_the_contract(name, shape):
    method, size = build(name, shape=shape).eval(), (shape.height, shape.width)
    images = torch.rand(3, 1, *size)
    masks = method.segment(images)
    assert masks.shape == (3, 2, *size) and masks.dtype == torch.float32
    assert (masks >= 0).all() and (masks.sum(1) <= 1 + 1e-6).all()
    assert torch.equal(masks, method.segment(images))
    if name in FACTORISE:
        anatomy, soft, again = method.anatomy(images), method.soft_anatomy(images), method.reconstruct(images)
        modality = method.encode(images)["modality"]
        planes, latent = (3, 2) if name == "sdnet" else (2, 3)
        assert anatomy.shape == (3, planes, *size) and modality.shape == (3, latent)
        assert set(anatomy.unique().tolist()) <= {0.0, 1.0}
        assert again.shape == images.shape and 0 <= again.min() <= again.max() <= 1
        assert torch.equal(again, method.reconstruct(images))
        torch.testing.assert_close(again, method.decode(anatomy, modality))
        torch.testing.assert_close(soft.round(), anatomy)
    if name == "sdnet":
        mean, log_variance = method.posterior(images)
        assert log_variance.shape == (3, 2) and torch.equal(modality, mean)
    elif name == "spatial_factorisation":
        assert torch.equal(soft, masks) and 0 <= modality.min() <= modality.max() <= 1


@pytest.mark.parametrize(
    ("name", "capability", "network"),
    [("sdnet", "segment", "anatomy_encoder"), ("spatial_factorisation", "reconstruct", "network")],
)
def test_gradients_pass_through_the_rounding(name, capability, network):
    method = build(name).eval()
    getattr(method, capability)(torch.rand(2, 1, 32, 32)).sum().backward()
    head = getattr(method, network).head
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


# They learn

QUICK = {"width": 4, "learning_rate": 1e-2, "momentum": 0.8, "rotation": 0}
GENTLE = {
    "lambda_adversarial": 0, "lambda_image_adversarial": 0, "lambda_unlabelled_image_adversarial": 0
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("unet", {"epochs": 12, "learning_rate": 2e-2}),
        ("self_train", {"depth": 2, "epochs": 14, "rounds": 2, "learning_rate": 2e-2}),
        ("unet_strong", {"epochs": 12, "learning_rate": 2e-2}),
        ("sdnet", {"epochs": 8, "channels": 4}),
        ("sdnet", {"epochs": 16, "channels": 4, "labelled_only": True}),
        ("spatial_factorisation", {"epochs": 16, "critic_width": 1, **GENTLE}),
    ],
)
def test_they_beat_the_best_mask_and_the_mean_image_that_ignore_the_image(name, changed, tmp_path):
    """Dice by 0.2 or more from any of several initial weights, so that no processor's last bits decide."""
    method, data, test = build(name, 1, **QUICK | changed), hearts(32, labelled=2), hearts(16, seed=5)
    trained(method, tmp_path, data, save_every_seconds=60)
    with torch.no_grad():
        assert dice(method.eval().segment(test.images), test) > blind_dice(data, test)
        if name in FACTORISE:
            error = (method.reconstruct(test.images) - test.images).abs().mean()
            assert error < (data.images.mean(0) - test.images).abs().mean()
