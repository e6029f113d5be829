"""Records what three networks of MONAI 1.6.1 compute, for tests of the methods that have them. Beside torch:

pip install --no-deps monai==1.6.1 einops==0.8.2
python tests/oracle/record_monai_networks.py tests/oracle/monai_networks_1_6_1.npz

unet/weights/<ours>    of DiffusionModelUNet, under the names that they have in networks/diffusion_unet.py
unet/images, steps, noise
vq/weights/<ours>      of VQVAE, under those of methods/vq_vae.py
vq/images, codes, reconstruction, loss, and book, sums, counts as they are after a pass in training
words/weights/<ours>   of DecoderOnlyTransformer, under those of methods/latent_transformer.py
words/tokens, logits   the token that begins included
"""

import re
import sys

import numpy as np
import torch
from monai.networks.nets import VQVAE, DecoderOnlyTransformer, DiffusionModelUNet

UNET = (
    (r"conv_in\.conv", "entry"),
    (r"time_embed\.", "steps."),
    (r"down_blocks\.(\d)\.resnets\.0", r"down.\1.residual"),
    (r"down_blocks\.(\d)\.attentions\.0", r"down.\1.attention"),
    (r"down_blocks\.(\d)\.downsampler\.op\.conv", r"shrink.\1"),
    (r"middle_block\.resnet_1", "middle.residual"),
    (r"middle_block\.attention", "middle.attention"),
    (r"middle_block\.resnet_2", "after"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", r"up.\1.\2.residual"),
    (r"up_blocks\.(\d)\.attentions\.(\d)", r"up.\1.\2.attention"),
    (r"up_blocks\.(\d)\.upsampler\.postconv\.conv", r"grow.\1"),
    (r"out\.0\.", "exit_norm."),
    (r"out\.2\.conv", "exit"),
    (r"norm1", "first_norm"),
    (r"norm2", "second_norm"),
    (r"conv1\.conv", "first"),
    (r"conv2\.conv", "second"),
    (r"time_emb_proj", "embedded"),
    (r"skip_connection\.conv", "skip"),
    (r"attn\.out_proj", "out"),
    (r"attn\.to_q", "query"),
    (r"attn\.to_k", "key"),
    (r"attn\.to_v", "value"),
)
VQ = (
    *(
        (rf"encoder\.blocks\.{one}\.", f"encoder.:{other}.")
        for one, other in enumerate((0, 2, 3, 4, 6, 7, 8))
    ),
    *(
        (rf"decoder\.blocks\.{one}\.", f"decoder.:{other}.")
        for one, other in enumerate((0, 1, 2, 3, 5, 6, 7))
    ),
    (":", ""),
    (r"conv1\.conv", "first"),
    (r"conv2\.conv", "second"),
    (r"\.conv\.", "."),
    (r"quantizer\.quantizer\.embedding\.weight", "quantiser.book"),
    (r"quantizer\.quantizer\.ema_w", "quantiser.sums"),
    (r"quantizer\.quantizer\.ema_cluster_size", "quantiser.counts"),
)
WORDS = (
    ("token_embeddings", "words"),
    (r"position_embeddings\.embedding", "places"),
    ("norm1", "first_norm"),
    ("norm2", "second_norm"),
    (r"attn\.out_proj", "out"),
    (r"mlp\.linear1", "mlp.0"),
    (r"mlp\.linear2", "mlp.2"),
    ("to_logits", "exit"),
)
UNUSED = ("causal_mask", "norm_cross_attn")


def drawn(network: torch.nn.Module) -> torch.nn.Module:
    """The same with weights that are nowhere 0, in evaluation mode."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def weights(network: torch.nn.Module, names: tuple[tuple[str, str], ...]) -> dict[str, np.ndarray]:
    """The weights of a network under other names, as they are now."""
    found = {}
    for name, value in network.state_dict().items():
        if any(part in name for part in UNUSED):
            continue
        for pattern, other in names:
            name = re.sub(pattern, other, name)
        found[name] = value.numpy().copy()
    return found


def unet() -> dict[str, np.ndarray]:
    network = drawn(
        DiffusionModelUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            channels=(4, 8, 8),
            attention_levels=(False, True, True),
            num_res_blocks=1,
            num_head_channels=8,
            norm_num_groups=2,
        )
    )
    images, steps = torch.randn(2, 1, 16, 24), torch.tensor([3, 250])
    found = {f"weights/{name}": value for name, value in weights(network, UNET).items()}
    return found | {
        "images": images.numpy(),
        "steps": steps.numpy(),
        "noise": network(images, steps).detach().numpy(),
    }


def vq() -> dict[str, np.ndarray]:
    network = drawn(
        VQVAE(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            channels=(6, 6),
            num_res_channels=(6, 6),
            num_res_layers=2,
            downsample_parameters=((2, 4, 1, 1), (2, 4, 1, 1)),
            upsample_parameters=((2, 4, 1, 1, 0), (2, 4, 1, 1, 0)),
            num_embeddings=8,
            embedding_dim=4,
            decay=0.5,
        )
    )
    images = torch.rand(2, 1, 16, 24)
    found = {f"weights/{name}": value for name, value in weights(network, VQ).items()}
    found |= {"images": images.numpy(), "codes": network.index_quantize(images).numpy()}
    network.train()
    reconstruction, loss = network(images)
    found |= {"reconstruction": reconstruction.detach().numpy(), "loss": loss.detach().numpy()}
    after = weights(network, VQ)
    return found | {key: after[f"quantiser.{key}"] for key in ("book", "sums", "counts")}


def words() -> dict[str, np.ndarray]:
    network = drawn(
        DecoderOnlyTransformer(
            num_tokens=9, max_seq_len=24, attn_layers_dim=8, attn_layers_depth=2, attn_layers_heads=4
        )
    )
    tokens = torch.cat([torch.full((2, 1), 8), torch.randint(8, (2, 23))], dim=1)
    found = weights(network, WORDS)
    for block in ("blocks.0", "blocks.1"):
        parts = [found.pop(f"{block}.attn.to_{part}.weight") for part in "qkv"]
        found[f"{block}.seen.weight"] = np.concatenate(parts)
    found = {f"weights/{name}": value for name, value in found.items()}
    return found | {"tokens": tokens.numpy(), "logits": network(tokens).detach().numpy()}


torch.manual_seed(0)
content = {}
for family, record in (("unet", unet), ("vq", vq), ("words", words)):
    content |= {f"{family}/{name}": value for name, value in record().items()}
np.savez_compressed(sys.argv[1], **content)
