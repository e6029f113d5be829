"""LTM: its size, MONAI's transformer, what is healed and in which order, and that it learns."""

import numpy as np
import pytest
import torch
from healthy_heads import SHAPE, build, heads, same_bits, stack, trained
from monai_networks import given_weights, recorded
from pydantic import ValidationError

from latent_anatomy.training.method import Data, Shape, frozen

LTM, VQ = "latent_transformer", "vq_vae"
TINY = {"width": 8, "depth": 2, "heads": 4, "batch_size": 16, "epochs": 1, "augmentation": "none"}
CODES = {"width": 8, "codes": 8, "size": 4, "batch_size": 16, "epochs": 1, "augmentation": "none"}


def on(shape: Shape = SHAPE, **params):
    return frozen(build(VQ, CODES | params, shape=shape))


def test_parameters_at_the_size_of_the_paper():
    """MONAI's transformer of the same size has 3,305,745, the 4,096 of a norm that it never uses included."""
    whole = Shape(1, 128, 128, 2)
    method = build(LTM, {}, shape=whole, on=on(whole, width=8, codes=16))
    own = sum(each.numel() for each in method.parameters() if each.requires_grad)
    assert own == 3_305_745 - 4_096 and method.places.num_embeddings == 1024


def test_it_computes_what_that_of_monai_computes():
    shape = Shape(1, 16, 24, 2)
    method = given_weights("words", build(LTM, TINY, shape=shape, on=on(shape)))
    given = recorded("words")
    assert torch.equal(given["tokens"][:, 0], torch.full((2,), 8))
    following = torch.cat([given["tokens"][:, 1:], torch.zeros(2, 1, dtype=torch.int64)], dim=1)
    with torch.no_grad():
        logits = method.expected(following)
    torch.testing.assert_close(logits, given["logits"], rtol=1e-4, atol=1e-4)


def test_a_token_is_expected_from_those_before_it_alone():
    method = build(LTM, TINY, on=on()).eval()
    tokens = torch.randint(8, (2, 64))
    changed = tokens.clone()
    changed[:, 40] = (changed[:, 40] + 1) % 8
    with torch.no_grad():
        one, other = method.expected(tokens), method.expected(changed)
    torch.testing.assert_close(one[:, :41], other[:, :41])
    assert not torch.allclose(one[:, 41:], other[:, 41:])


def healed_one_by_one(method, tokens: list[int], quantile: float) -> list[int]:
    """One image, one token at a time, as it is described."""

    def logits(sequence):
        with torch.no_grad():
            return method.expected(torch.tensor([sequence]))[0].double().numpy()

    first = logits(tokens)
    spread = first - np.log(np.exp(first).sum(1, keepdims=True))
    likely = np.array([spread[place, token] for place, token in enumerate(tokens)])
    cut, tokens = np.quantile(likely, quantile), list(tokens)
    for place in np.flatnonzero(likely < cut):
        tokens[place] = int(np.argmax(logits(tokens)[place][:-1]))
    return tokens


@pytest.mark.parametrize("quantile", [0.03, 0.3])
def test_healing_a_batch_is_healing_each_image_one_token_after_the_other(quantile):
    method = build(LTM, TINY | {"quantile": quantile}, on=on()).eval()
    for parameter in method.exit.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randint(8, (3, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        healed = method.healed(tokens)
    assert healed.tolist() == [healed_one_by_one(method, each, quantile) for each in tokens.tolist()]
    assert 0 < (healed != tokens).sum(1).max() <= np.ceil(64 * quantile)
    assert int(healed.max()) < 8, "the token that begins stands for no code"


def test_nothing_is_healed_below_the_least_likely():
    method = build(LTM, TINY | {"quantile": 0}, on=on()).eval()
    images = heads(3, 1)[0]
    with torch.no_grad():
        assert torch.equal(method.reconstruct(images), method.on.reconstruct(images))


def test_the_vq_vae_stays_as_it_was_and_is_part_of_the_checkpoint(tmp_path):
    base = on()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    method = trained(tmp_path, build(LTM, TINY | {"epochs": 2}, on=base), heads(32, 0)[0])
    assert all(torch.equal(method.state_dict()[f"on.{name}"], value) for name, value in before.items())


def test_every_capability_works_at_other_sizes_and_channels():
    shape = Shape(3, 16, 32, 2)
    method, images = build(LTM, TINY, shape=shape, on=on(shape)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        rebuilt = method.reconstruct(images)
        maps = method.anomaly_map(stack(images))
    torch.testing.assert_close(maps, (images - rebuilt).abs().mean(1, keepdim=True))


def test_heads_that_divide_no_width_are_refused():
    with pytest.raises(ValidationError, match=r"heads: expected a divisor of width \(8\), found 3"):
        build(LTM, TINY | {"heads": 3}, on=on())


def test_same_seed_gives_same_bits(tmp_path):
    base = on()
    base.quantiser.book *= 0.02  # near to what it is given, so that all codes occur
    assert len(base.tokens(heads(12, 3)[0]).unique()) > 3
    assert same_bits(tmp_path, lambda: build(LTM, TINY | {"augmentation": "affine"}, on=base))


def test_it_learns_which_codes_follow_and_puts_right_what_is_wrong(tmp_path):
    """Better than how often each code comes; of codes replaced by chance fewer are wrong once healed."""
    images = heads(96, 0)[0]
    base = build(VQ, CODES | {"width": 16, "epochs": 15, "learning_rate": 3e-3})
    base = frozen(trained(tmp_path / "vq", base, images))
    method = build(LTM, TINY | {"width": 32, "epochs": 12, "learning_rate": 3e-3}, on=base)
    method = trained(tmp_path / "ltm", method, images)
    unseen, random = heads(24, 8)[0], torch.Generator().manual_seed(0)
    with torch.no_grad():
        tokens = base.tokens(unseen)
        share = torch.bincount(tokens.flatten(), minlength=8) / tokens.numel()
        blind = -(share * share.clamp(min=1e-12).log()).sum()
        assert method.validate(Data(unseen))["entropy"] < 0.8 * blind
        wrong = torch.rand(tokens.shape, generator=random) < 0.03
        shift = torch.randint(1, 8, tokens.shape, generator=random)
        damaged = torch.where(wrong, (tokens + shift) % 8, tokens)
        healed = method.healed(damaged)
    assert (healed != tokens).sum() < 0.8 * (damaged != tokens).sum()
