"""What can a single linear layer read from the frozen embeddings? (unORANIC, Tables 3 and 4)

Two tasks: `disease`, the data set's labels on clean images, and `corruption`, whether an image carries
one of the 12 corruptions (half do). Tested on the clean and on the frozen corrupted test images.

    concatenated_released  as released: one layer on all embeddings together, encoder in training mode
                           (batch statistics, and running statistics that drift), softmax before the
                           cross-entropy, training images corrupted anew in every epoch
    concatenated           the same input; encoder in evaluation mode, plain cross-entropy
    own                    as the paper's text has it: disease from "anatomy", corruption from
                           "characteristics"; a method with one embedding uses that for both
    joint                  as `own`, both layers trained at once on half-corrupted images. Their losses
                           are summed and they share nothing but the batches, so that each is trained
                           here by itself on those batches, with the same result

All: Adam, betas (0.95, 0.999), cyclic learning rate, 251 epochs, batches of 64, last weights kept. A
shorter training runs through the same part of the cycle. A last batch of one image is left out.

Deviation: where the encoder is in evaluation mode, its embeddings are computed once. Training images
are then corrupted `draws` times, and the epochs take these in turn; `draws` = `epochs` is the paper's
own way, for as many passes of the encoder and as much memory (draws x images x dimensions x 4 bytes).

Metrics probing/<task>/<variant>/auc and .../acc; arrays probing/<task>/<variant>/scores (N, classes), and
labels and corruption/labels (N,) int64, which go with disease and corruption. Table roc: of the disease, by
`own`, see `curves`.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from latent_anatomy.corruptions.augment import corrupt_one
from latent_anatomy.evaluation import curves
from latent_anatomy.evaluation.common import Settings, embed, frozen_corruption, generator, score
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.training.method import Data
from latent_anatomy.training.optimisers import Adam
from latent_anatomy.training.schedules import Cyclic
from latent_anatomy.training.seeds import derived_seed

NEEDS = (("encode",),)
PLOTS = {"roc": curves.DRAWN}

Variant = Literal["concatenated_released", "concatenated", "own", "joint"]
Embeddings = dict[str, Tensor]

EPOCHS = 251  # published; the length that the learning-rate cycle refers to
BATCH_SIZE = 64
BETAS = (0.95, 0.999)
CYCLE = Cyclic(full_epochs=EPOCHS)
OWN = {"disease": "anatomy", "corruption": "characteristics"}
LABELS = {"disease": "labels", "corruption": "corruption/labels"}


class Params(Settings):
    """Lengths of the probes' training."""

    variants: tuple[Variant, ...] = Field(
        ("concatenated_released", "concatenated", "own", "joint"), description="Which probes are trained."
    )
    epochs: int = Field(EPOCHS, ge=1, description="Passes over the training images.")
    draws: int = Field(25, ge=1, description="Corrupted versions of the training set for cached probes.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs images with labels."""
    return all(splits[name].labels is not None for name in ("train", "test"))


def own(embeddings: Embeddings, task: str) -> Tensor:
    """The embedding that is meant for a task, or the only one there is: (N, d)."""
    if len(embeddings) == 1:
        return next(iter(embeddings.values()))
    if OWN[task] not in embeddings:
        raise ValueError(f"expected an embedding {OWN[task]!r} for {task}, found {', '.join(embeddings)}")
    return embeddings[OWN[task]]


def concatenated(embeddings: Embeddings, task: str) -> Tensor:
    """All embeddings side by side, whatever the task: (N, sum of d)."""
    return torch.cat(list(embeddings.values()), dim=1)


def fit(
    epoch_data: Callable[[int], tuple[Tensor, Tensor]],
    width: int,
    classes: int,
    epochs: int,
    seeds: tuple[int | str, ...],
    *,
    name: str = "probe",
    encode: Callable[[Tensor], Tensor] = nn.Identity(),  # noqa: B008
    double_softmax: bool = False,
) -> nn.Linear:
    """Train a linear layer (width -> classes) on `encode(inputs)` with the published settings.

    `epoch_data(epoch)` gives an epoch's inputs (N, ...) and labels (N,) int64. The order of images
    depends on `seeds` and the epoch, the initial weights on `seeds` and `name`.
    """
    inputs, labels = epoch_data(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(*seeds, name))
        layer = nn.Linear(width, classes).to(inputs.device)
    optimiser = Adam(layer.parameters(), lr=CYCLE.base, betas=BETAS, fused=True)
    steps = -(-len(labels) // BATCH_SIZE)
    [schedule] = CYCLE.schedules(optimiser, steps, epochs).per_epoch
    for epoch in tqdm(range(epochs), desc=name, unit="epoch", disable=None, leave=False):
        inputs, labels = epoch_data(epoch)
        order = torch.randperm(len(labels), generator=generator(*seeds, epoch)).to(inputs.device)
        for chosen in order.split(BATCH_SIZE):
            if len(chosen) == 1:
                continue
            outputs = layer(encode(inputs[chosen]))
            loss = F.cross_entropy(outputs.softmax(dim=1) if double_softmax else outputs, labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return layer.requires_grad_(False)


def corrupted_draws(method: nn.Module, train: Data, draws: int, seed: int) -> list[tuple[Embeddings, Tensor]]:
    """Embeddings of the training images, half of them corrupted, and which are: `draws` times."""
    embedded = []
    for draw in tqdm(range(draws), desc="corrupted embeddings", unit="draw", disable=None, leave=False):
        images, corrupted = _corrupt(train, seed, "draw", draw)
        embedded.append((embed(method, images), corrupted))
    return embedded


def _corrupt(train: Data, *seeds: int | str) -> tuple[Tensor, Tensor]:
    on_device = torch.Generator(train.device).manual_seed(derived_seed(*seeds))
    return corrupt_one(train.images, on_device)


def disease_probe(method: nn.Module, train: Data, epochs: int, seed: int) -> Callable[[Tensor], Tensor]:
    """Class scores (N, classes) of images (N, C, H, W), by the `own` probe trained on clean images."""
    features, classes = own(embed(method, train.images), "disease"), int(train.labels.max()) + 1
    layer = fit(
        lambda epoch: (features, train.labels),
        features.shape[1],
        classes,
        epochs,
        (seed, "own"),
        name="disease",
    )
    return lambda images: layer(own(embed(method, images), "disease")).softmax(dim=1)


def _released(
    method: nn.Module, train: Data, tests: Tensor, task: str, classes: int, settings: Params, seed: int
) -> Tensor:
    """Scores (N, classes) of the test images, by the probe as released."""
    width = concatenated(embed(method, train.images[:1]), task).shape[1]
    frozen = copy.deepcopy(method).requires_grad_(False).train()
    clean = (train.images, train.labels)

    def epoch_data(epoch: int) -> tuple[Tensor, Tensor]:
        return clean if task == "disease" else _corrupt(train, seed, "released", epoch)

    layer = fit(
        epoch_data,
        width,
        classes,
        settings.epochs,
        (seed, "released"),
        name=f"{task}, as released",
        encode=lambda images: concatenated(frozen.encode(images), task),
        double_softmax=True,
    )
    return layer(concatenated(embed(frozen.eval(), tests), task)).softmax(dim=1)


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above, and the labels that go with the scores."""
    method.eval()
    train, test = splits["train"], splits["test"]
    corrupted_images, corrupted_labels = frozen_corruption("test", test)
    images = {"disease": test.images, "corruption": corrupted_images}
    labels = {"disease": test.labels, "corruption": corrupted_labels}
    classes = {"disease": int(train.labels.max()) + 1, "corruption": 2}
    tests = {name: embed(method, images[name]) for name in images}
    clean = embed(method, train.images)
    draws = corrupted_draws(method, train, min(settings.draws, settings.epochs), seed)

    metrics = {}
    arrays = {"labels": labels["disease"], "corruption/labels": labels["corruption"]}
    for variant in settings.variants:
        for name in OWN:
            if variant == "concatenated_released":
                scores = _released(method, train, images[name], name, classes[name], settings, seed)
            else:
                read = concatenated if variant == "concatenated" else own
                data = _cached(clean, draws, train.labels, name, variant, read)
                layer = fit(
                    lambda epoch, data=data: data[epoch % len(data)],
                    data[0][0].shape[1],
                    classes[name],
                    settings.epochs,
                    (seed, variant),
                    name=name,
                )
                scores = layer(read(tests[name], name)).softmax(dim=1)
            metrics |= score(f"probing/{name}/{variant}", labels[name], scores)
            arrays[f"probing/{name}/{variant}/scores"] = scores
    stored = {name: value.cpu().numpy() for name, value in arrays.items()}
    read = stored.get("probing/disease/own/scores")
    return Results(metrics, stored, {} if read is None else curves.roc(stored["labels"], read))


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Class scores of every probe."""
    probes = [name.removesuffix("/scores").split("/") for name in arrays if name.startswith("probing/")]
    return {
        f"probing/{task}/{variant}": Paired((f"probing/{task}/{variant}/scores",), labels=LABELS[task])
        for _, task, variant in probes
    }


def _cached(
    clean: Embeddings,
    draws: list[tuple[Embeddings, Tensor]],
    diseases: Tensor,
    task: str,
    variant: str,
    read: Callable[[Embeddings, str], Tensor],
) -> list[tuple[Tensor, Tensor]]:
    """Features and labels of the epochs, in turn."""
    if task == "disease" and variant != "joint":
        return [(read(clean, task), diseases)]
    return [
        (read(embeddings, task), diseases if task == "disease" else corrupted)
        for embeddings, corrupted in draws
    ]
