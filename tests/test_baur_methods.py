"""The eight models of Baur 2018: layer tables, losses, alternating updates, mapping; and they learn."""

import math

import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.distributions import Normal, kl_divergence
from training_runs import copied, same, stepped

from latent_anatomy.evaluation.registry import capabilities
from latent_anatomy.methods import anogan, baur_autoencoder, baur_vaegan
from latent_anatomy.methods import registry as methods
from latent_anatomy.networks.adversarial import Discriminator, discriminator_loss, generator_loss
from latent_anatomy.networks.encoder_decoder import Affine, Decoder, Encoder, Family
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Batch, Data, Shape, Stack

MODELS = {
    "dAE": ("baur_autoencoder", {"bottleneck": "dense"}),
    "sAE1": ("baur_autoencoder", {"blocks": 5}),
    "sAE3": ("baur_autoencoder", {}),
    "dVAE": ("baur_autoencoder", {"bottleneck": "dense", "variational": True}),
    "sVAE": ("baur_autoencoder", {"variational": True}),
    "sAE-GAN": ("baur_vaegan", {"variational": False}),
    "AnoVAEGAN": ("baur_vaegan", {}),
    "AnoGAN": ("anogan", {"mapping_steps": 2}),
}
TINY = {"width": 4, "blocks": 2, "latent": 3, "batch_size": 4, "epochs": 2}
SLICE = Shape(channels=1, height=256, width=256, classes=2)
SMALL = Shape(channels=1, height=32, width=32, classes=2)


def build(model: str, shape: Shape = SMALL, seed: int = 0, **changed) -> nn.Module:
    name, params = MODELS[model]
    module = methods.load(name)
    torch.manual_seed(seed)
    return module.Method(module.Params(**(params | changed)), shape)


def noise(count: int, *, channels: int = 1, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(1))


def stack(images: torch.Tensor) -> Stack:
    return Stack(images, torch.ones(images[:, 0].shape, dtype=torch.bool), torch.arange(len(images)))


# Layer tables


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


ENCODER = conv(1, 32, 5) + conv(32, 64, 5) + conv(64, 128, 5) + conv(128, 128, 5)
ENCODER_NORM = 2 * (32 + 64 + 128 + 128)
DECODER = conv(128, 128, 5) + conv(128, 64, 5) + conv(64, 32, 5) + conv(32, 32, 5) + conv(32, 1, 1)
DECODER_NORM = 2 * (128 + 128 + 64 + 32 + 32)
DECODER_LAYER_NORM = 2 * (16**2 + 32**2 + 64**2 + 128**2 + 256**2)  # a gain and a bias per pixel
TRUNK = ENCODER + ENCODER_NORM + DECODER + DECODER_NORM
FIFTH_BLOCK = conv(128, 128, 5) + 2 * 128 + conv(32, 32, 5) + 2 * 32
SPATIAL = conv(128, 64, 1) + conv(64, 128, 1)
DENSE = conv(128, 16, 1) + linear(16 * 16 * 16, 512) + linear(512, 16 * 16 * 16) + conv(16, 128, 1)
DISCRIMINATOR = ENCODER + ENCODER_NORM + conv(128, 1, 1)
GENERATOR = linear(128, 16 * 16 * 16) + conv(16, 128, 1) + DECODER + DECODER_LAYER_NORM


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("dAE", TRUNK + DENSE),
        ("sAE1", TRUNK + FIFTH_BLOCK + SPATIAL),
        ("sAE3", TRUNK + SPATIAL),
        ("dVAE", TRUNK + DENSE + linear(16 * 16 * 16, 512)),
        ("sVAE", TRUNK + SPATIAL + conv(128, 64, 1)),
        ("sAE-GAN", TRUNK + SPATIAL + DISCRIMINATOR),
        ("AnoVAEGAN", TRUNK + SPATIAL + conv(128, 64, 1) + DISCRIMINATOR),
        ("AnoGAN", GENERATOR + DISCRIMINATOR),
    ],
)
def test_parameter_counts_of_the_layer_table(model, expected):
    assert sum(parameter.numel() for parameter in build(model, SLICE).parameters()) == expected


@pytest.mark.parametrize(
    ("model", "size"), [("dAE", 512), ("sAE1", 8 * 8 * 64), ("sAE3", 16 * 16 * 64), ("AnoGAN", 128)]
)
def test_sizes_of_z_at_full_resolution(model, size):
    method = build(model, SLICE, width=2).eval()
    images = noise(1, height=256, width=256)
    with torch.no_grad():
        assert method.encode(images)["latent"].shape == (1, size)
        assert method.reconstruct(images).shape == images.shape


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", [SMALL, Shape(3, 32, 64, 2)])
def test_every_capability_works_at_other_sizes_and_channels(model, shape):
    method = build(model, shape, **TINY).eval()
    images = noise(5, channels=shape.channels, height=shape.height, width=shape.width)
    with torch.no_grad():
        assert method.reconstruct(images).shape == images.shape
        assert method.encode(images)["latent"].shape[0] == 5
        assert method.encode(images)["latent"].ndim == 2
        anomalies = method.anomaly_map(stack(images))
    assert anomalies.shape == (5, 1, shape.height, shape.width)
    assert anomalies.dtype == torch.float32 and (anomalies >= 0).all()
    expected = {"reconstruct", "encode", "anomaly_map"}
    if model in ("dVAE", "sVAE", "AnoVAEGAN", "AnoGAN"):
        drawn = [method.sample(2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
        assert drawn[0].shape == (2, *images.shape[1:])
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
        expected.add("sample")
    assert capabilities(method) == expected


@pytest.mark.parametrize("model", ["sAE3", "AnoVAEGAN", "AnoGAN"])
def test_images_that_the_blocks_cannot_halve_are_refused(model):
    with pytest.raises(ValueError, match=r"divisible by 16 \(blocks: 4\), found 28x28"):
        build(model, Shape(1, 28, 28, 2))


def test_affine_is_batch_normalisation_whose_statistics_stay_as_they_began():
    features = noise(3, channels=8)
    batch = Family((1, 32, 32), momentum=0.99).norm(8, 0)
    assert (batch.momentum, batch.eps) == (pytest.approx(0.01), 1e-3)
    torch.testing.assert_close(Affine(8)(features), batch.eval()(features) * math.sqrt(1 + 1e-3))


def test_layer_normalisation_is_of_each_channel_of_each_image():
    layer = Family((1, 32, 32), normalisation="layer").norm(8, 1)
    normal = layer(3 + 5 * noise(2, channels=8, height=16, width=16))
    torch.testing.assert_close(normal.mean((2, 3)), torch.zeros(2, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.var((2, 3), correction=0), torch.ones(2, 8), atol=1e-2, rtol=0)


def test_encoder_and_decoder_are_mirrors_and_start_as_in_keras():
    family = Family((1, 32, 32), width=4, blocks=2)
    torch.manual_seed(0)
    encoder, decoder = Encoder(family, "spatial", 3, True), Decoder(family, "spatial", 3)
    mean, log_sigma = encoder(noise(2))
    assert mean.shape == log_sigma.shape == (2, 3, 8, 8)
    assert decoder(mean).shape == (2, 1, 32, 32)
    first = encoder.features[0]
    limit = math.sqrt(6 / (25 * (1 + 4)))  # Glorot: of fan in and fan out
    assert 0.9 * limit < first.weight.abs().max() <= limit
    assert not first.bias.any()


@pytest.mark.parametrize("normalisation", ["layer", "affine"])
def test_a_discriminator_judges_each_image_alone_by_location_or_as_a_whole(normalisation):
    family, images = Family((1, 32, 32), width=4, blocks=2), noise(3)
    for verdict, shape in (("location", (3, 1, 8, 8)), ("image", (3, 1))):
        network = Discriminator(family, verdict, normalisation).train()
        logits = network(images)
        assert logits.shape == shape
        torch.testing.assert_close(logits[:1], network(images[:1]))


# Losses


def test_kl_is_that_of_torch_distributions():
    mean, log_sigma = noise(4, channels=3) * 4 - 2, noise(4, channels=3).flip(0) * 2 - 1
    expected = kl_divergence(Normal(mean, log_sigma.exp()), Normal(0.0, 1.0)).sum() / 4
    torch.testing.assert_close(baur_autoencoder.kl(mean, log_sigma), expected)
    assert baur_autoencoder.kl(torch.zeros(2, 5), torch.zeros(2, 5)) == 0


def test_l1_is_summed_over_pixels_and_averaged_over_images():
    images = torch.zeros(2, 1, 4, 4)
    assert float(baur_autoencoder.l1(images, images - 0.5)) == 16 * 0.5


def test_adversarial_losses_are_the_printed_ones():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [-3.0]])
    printed = -real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), printed)
    torch.testing.assert_close(generator_loss(fake), -fake.sigmoid().log().mean())


@pytest.mark.parametrize("bottleneck", ["dense", "spatial"])
def test_kl_regularises_the_encoder_alone(bottleneck):
    method = build("sVAE", bottleneck=bottleneck, **TINY)
    _, losses = method.losses(noise(4))
    losses["kl"].backward(retain_graph=True)
    assert all(parameter.grad is not None for parameter in method.encoder.parameters())
    assert all(parameter.grad is None for parameter in method.decoder.parameters())
    losses["l1"].backward()
    assert all(parameter.grad is not None for parameter in method.decoder.parameters())


def test_z_is_drawn_in_training_and_is_the_mean_at_evaluation():
    images, method = noise(4), build("sVAE", **TINY).eval()
    with torch.no_grad():
        assert torch.equal(method.reconstruct(images), method.reconstruct(images))
        drawn = [method.losses(images)[0] for _ in range(2)]
        assert not torch.equal(drawn[0], drawn[1])
        for parameter in method.encoder.log_sigma.parameters():  # sigma = 0
            parameter.copy_(torch.full_like(parameter, 0.0 if parameter.ndim > 1 else -100.0))
        assert torch.equal(method.losses(images)[0], method.reconstruct(images))


def test_residual_is_absolute_or_positive():
    images, reconstructions = torch.tensor([0.2, 0.9]).view(1, 1, 1, 2), torch.full((1, 1, 1, 2), 0.5)
    torch.testing.assert_close(
        baur_autoencoder.residual(images, reconstructions, "absolute").flatten(), torch.tensor([0.3, 0.4])
    )
    torch.testing.assert_close(
        baur_autoencoder.residual(images, reconstructions, "positive").flatten(), torch.tensor([0.0, 0.4])
    )


# Updates


@pytest.mark.parametrize(
    ("model", "player", "networks"),
    [
        ("sAE-GAN", "autoencoder", {"encoder", "decoder"}),
        ("AnoVAEGAN", "autoencoder", {"encoder", "decoder"}),
        ("AnoGAN", "generator", {"generator"}),
    ],
)
def test_players_leave_each_other_untouched(model, player, networks):
    found = []
    given = {"train": Batch(noise(4))}
    stepped(build(model, **TINY), given, lambda name, moved, wholly: found.append((name, moved)))
    assert found == [("discriminator", {"discriminator"}), (player, networks)]


@pytest.mark.parametrize(
    ("model", "player", "loss"),
    [
        ("AnoVAEGAN", "discriminator", "discriminator"),
        ("AnoVAEGAN", "autoencoder", "adversarial"),
        ("AnoGAN", "discriminator", "discriminator"),
        ("AnoGAN", "generator", "generator"),
    ],
)
def test_each_player_wins_against_an_opponent_who_rests(model, player, loss):
    alone = {"lambda_reconstruction": 0, "lambda_kl": 0} if model == "AnoVAEGAN" else {}
    method, values = build(model, learning_rate=1e-3, **TINY, **alone), []
    optimisers = method.optimisers()

    def update(name: str, value: torch.Tensor) -> None:
        optimisers[name].zero_grad(set_to_none=True)
        value.backward()
        if name == player:
            optimisers[name].step()

    for step in range(20):
        torch.manual_seed(step)
        values.append(float(method.training_step({"train": Batch(noise(4))}, update)[loss].detach()))
    assert values[-1] < values[0]


def fitted(tmp_path, method: nn.Module, images: torch.Tensor, *, seed: int = 1) -> dict[str, torch.Tensor]:
    torch.use_deterministic_algorithms(True)
    try:
        train(method, Data(images), Data(images[:5]), seed=seed, settings=TrainingParams(), scratch=tmp_path)
    finally:
        torch.use_deterministic_algorithms(False)
    return method.state_dict()


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_gives_same_bits_and_another_seed_does_not(tmp_path, model):
    one, again, other = (
        fitted(tmp_path / name, build(model, **TINY), noise(10), seed=seed)
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    )
    assert same(one, again) and not same(one, other)


def parts_of_the_decoders_gradient(method: nn.Module, images: torch.Tensor) -> tuple[float, float]:
    """Norms over all weights of the decoder: of the weighted -log Dis(x')'s gradient, and of the L1's."""
    pixels = images.shape[2] * images.shape[3]
    losses = (
        lambda made: method.params.lambda_adversarial * pixels * generator_loss(method.discriminator(made)),
        lambda made: method.params.lambda_reconstruction * (images - made).abs().sum() / len(images),
    )
    norms = []
    for loss in losses:
        method.zero_grad()
        loss(method.reconstruct(images)).backward()
        gradients = [weight.grad.double().flatten() for weight in method.decoder.parameters()]
        norms.append(float(torch.cat(gradients).norm()))
    method.zero_grad()
    return norms[0], norms[1]


@pytest.mark.parametrize("model", ["sAE-GAN", "AnoVAEGAN"])
@pytest.mark.parametrize("weight", [1e-5, 1e-3, 1.0])
def test_the_adversarial_share_is_its_part_of_the_norms_of_both_gradients(model, weight):
    method, images = build(model, lambda_adversarial=weight).eval(), noise(4)
    adversary, distance = parts_of_the_decoders_gradient(method, images)
    assert adversary > 0 and distance > 0
    share = float(method.adversarial_share(images))
    assert share == pytest.approx(adversary / (adversary + distance), rel=1e-4)
    assert 0 < share < 1 and all(weight.grad is None for weight in method.parameters())


def test_the_adversarial_share_is_none_without_a_weight_all_without_a_distance_and_grows_with_the_weight():
    images = noise(4)
    shares = [
        float(build("AnoVAEGAN", lambda_adversarial=weight).eval().adversarial_share(images))
        for weight in (0, 1e-4, 1e-3, 1e-2)
    ]
    assert shares[0] == 0 and shares == sorted(set(shares))
    alone = build("AnoVAEGAN", lambda_reconstruction=0).eval()
    assert float(alone.adversarial_share(images)) == 1


@pytest.mark.parametrize("model", ["sAE-GAN", "AnoVAEGAN"])
def test_every_epoch_tells_the_share_on_the_first_validation_images(tmp_path, model):
    method, images = build(model, **TINY), noise(8)
    history = train(
        method, Data(images), Data(images[:6]), seed=1, settings=TrainingParams(), scratch=tmp_path
    )
    shares = [row["val/adversarial_share"] for row in history]
    assert len(shares) == TINY["epochs"] and all(0 < share < 1 for share in shares)
    last = float(method.eval().adversarial_share(images[: TINY["batch_size"]]))
    assert shares[-1] == pytest.approx(last, rel=1e-4) and shares[0] != pytest.approx(last, rel=1e-4)


def test_without_its_adversary_anovaegan_is_svae(tmp_path):
    vae = fitted(tmp_path / "vae", build("sVAE", **TINY), noise(10))
    gan = fitted(tmp_path / "gan", build("AnoVAEGAN", lambda_adversarial=0, **TINY), noise(10))
    for key, value in vae.items():
        torch.testing.assert_close(gan[key], value)


@pytest.mark.parametrize("model", ["sAE3", "AnoVAEGAN"])
def test_validation_is_the_l1_distance_whatever_the_batches(model):
    method, images = build(model, **TINY).eval(), noise(7)
    with torch.no_grad():
        expected = (images - method.reconstruct(images)).abs().sum((1, 2, 3)).mean()
    torch.testing.assert_close(method.validate(Data(images))["l1"], expected)


@pytest.mark.parametrize("model", ["dVAE", "AnoVAEGAN", "AnoGAN"])
def test_every_network_learns_under_autocast(tmp_path, model):
    method = build(model, **TINY)
    before = {name: value.clone() for name, value in method.named_parameters()}
    settings = TrainingParams(precision="bf16")
    history = train(method, Data(noise(8)), Data(noise(4)), seed=1, settings=settings, scratch=tmp_path)
    assert all(math.isfinite(value) for row in history for value in row.values())
    assert not any(torch.equal(value, before[name]) for name, value in method.named_parameters())


# AnoGAN's mapping


def mapper(**changed) -> nn.Module:
    return build("AnoGAN", **TINY | {"mapping_steps": 30} | changed).eval()


def test_mapping_lowers_the_score_of_every_slice():
    method, images = mapper(), noise(4)
    with torch.no_grad():
        features = method.discriminator.features(images)
        before = method.score(images, features, method.start(4))
        after = method.score(images, features, method.encode(images)["latent"])
    assert (after < before).all()


def test_the_score_is_schlegls():
    method, images, latent = mapper(lambda_discrimination=0.3), noise(2), torch.randn(2, 3)
    with torch.no_grad():
        generated, features = method.generator(latent), method.discriminator.features
        for i, score in enumerate(method.score(images, features(images), latent)):
            pixels = (images[i] - generated[i]).abs().sum()
            discrimination = (features(images)[i] - features(generated)[i]).abs().sum()
            torch.testing.assert_close(score, 0.7 * pixels + 0.3 * discrimination)


def test_slices_are_mapped_in_a_batch_as_alone(monkeypatch):
    method, images = mapper(mapping_steps=10), noise(5)  # few: a kink of L1 would magnify rounding
    with torch.no_grad():
        together = method.reconstruct(images)
        alone = torch.cat([method.reconstruct(image[None]) for image in images])
        monkeypatch.setattr(anogan, "AT_ONCE", 2)
        in_twos = method.reconstruct(images)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together, in_twos, atol=1e-4, rtol=1e-4)


def test_mapping_is_the_same_in_every_gradient_mode_and_leaves_no_trace():
    method, images = mapper(), noise(2)
    weights = copied(method)
    state = torch.get_rng_state()
    found = [method.encode(images)["latent"]]
    with torch.no_grad():
        found.append(method.encode(images)["latent"])
    with torch.inference_mode():
        found.append(method.encode(images.clone())["latent"].clone())
    assert all(torch.equal(found[0], other) for other in found)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(method.state_dict(), weights)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in method.parameters())


def test_the_start_is_a_draw_from_the_chosen_prior():
    assert mapper(latent=200).start(2).abs().max() > 1
    uniform = mapper(latent=200, prior="uniform").start(2)
    assert 0.9 < uniform.abs().max() <= 1
    assert torch.equal(uniform[0], uniform[1])


# Parameters


def test_the_size_of_z_is_that_of_the_paper_unless_chosen():
    assert baur_autoencoder.Params().latent == baur_vaegan.Params().latent == 64
    assert baur_autoencoder.Params(bottleneck="dense").latent == 512
    assert baur_autoencoder.Params(bottleneck="dense", latent=7).latent == 7


@pytest.mark.parametrize(
    ("params", "wrong", "named"),
    [
        (baur_autoencoder.Params, {"bottleneck": "convolutional"}, "bottleneck"),
        (baur_autoencoder.Params, {"latent": 0}, "latent"),
        (baur_autoencoder.Params, {"normalisation": "layer"}, "normalisation"),
        (baur_autoencoder.Params, {"momentum": 1.0}, "momentum"),
        (baur_autoencoder.Params, {"dropout": 0.1}, "expected 0 for a spatial bottleneck"),
        (baur_autoencoder.Params, {"residual": "negative"}, "residual"),
        (baur_autoencoder.Params, {"lambda_adversarial": 1.0}, "lambda_adversarial"),
        (baur_vaegan.Params, {"verdict": "pixel"}, "verdict"),
        (baur_vaegan.Params, {"lambda_kl": -1.0}, "lambda_kl"),
        (anogan.Params, {"mapping_steps": 0}, "mapping_steps"),
        (anogan.Params, {"lambda_discrimination": 1.5}, "lambda_discrimination"),
    ],
)
def test_bad_parameters_are_refused(params, wrong, named):
    with pytest.raises(ValidationError, match=named):
        params(**wrong)


# They learn


def heads(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Discs with a dark centre, at random places; the same with a bright lesion; masks of the lesions."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)

    x, y, radius, angle = x - uniform(-0.4, 0.4), y - uniform(-0.4, 0.4), uniform(0.4, 0.5), uniform(0, 6)
    distance = (x.square() + y.square()).sqrt()
    healthy = (
        0.6
        * torch.sigmoid(20 * (radius - distance))
        * (1 - 0.7 * torch.sigmoid(20 * (radius / 3 - distance)))
    )
    masks = (x - 0.3 * angle.cos()).square() + (y - 0.3 * angle.sin()).square() < 0.12**2
    return healthy, torch.where(masks, 1.0, healthy), masks


LEARN = {"width": 8, "blocks": 3, "batch_size": 16}
AUTOENCODER = {"epochs": 10, "momentum": 0.8, "learning_rate": 3e-3, "lambda_kl": 0.1}
GAN = {
    "epochs": 12,
    "latent": 4,
    "learning_rate": 2e-3,
    "normalisation": "affine",
    "verdict": "image",
    "mapping_steps": 50,
    "mapping_learning_rate": 0.1,
    "validation_slices": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model in MODELS if model != "sAE1"])
def test_reconstructs_better_than_the_mean_image_and_finds_lesions(tmp_path, model):
    latent = {"latent": 16 if MODELS[model][1].get("bottleneck") == "dense" else 4}
    method = build(model, **LEARN | (GAN if model == "AnoGAN" else AUTOENCODER | latent))
    count = 256 if model == "AnoGAN" else 128
    training, (healthy, ill, masks) = heads(count, seed=0)[0], heads(32, seed=1)
    train(method, Data(training), Data(healthy), seed=0, settings=TrainingParams(), scratch=tmp_path)
    method.eval()
    with torch.no_grad():
        ours = (method.reconstruct(healthy) - healthy).abs().mean()
        anomalies = method.anomaly_map(stack(ill))
    assert ours < 0.9 * (training.mean(0, keepdim=True) - healthy).abs().mean()
    assert roc_auc_score(masks.flatten().numpy(), anomalies.flatten().numpy()) > 0.9
