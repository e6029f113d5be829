"""Do clusters mean the same in another setting, and is biology still there? (Pan et al., arXiv 2509.11436)

Of the paper only the abstract could be read: clusters were compared by ARI, NMI and Dice. Everything else is
this project's. K clusters (k-means) of training rows, all settings together; both partners of each test pair
are assigned. `consistency/<K>/...`, means over the seeds of k-means, and `consistency/...`, over all K:

    ari, nmi       of the two labellings of partners (arithmetic normalisation)
    dice           mean over clusters; dice_weighted by their sizes: the share of pairs in one cluster
    entropy        of the clusters' sizes, 1 where they are equal
    biology_ari    of clusters and true classes, where there are labels

Consistency alone rewards throwing everything away, so that beside it stand

    retrieval      share of test rows whose partner is the nearest of the other side (`metrics.retrieval`)
    subcohorts     ARI with the codebook of all, mean over codebooks of random halves of training subjects
    technical/linear, technical/mlp    balanced accuracy of the setting, read from test rows by a logistic
                   regression and by a network with one hidden layer of 64, both of training rows
    technical/chance                   1 / settings
    biology/linear, biology/mlp        the same of the classes

and for a method that splits latents by a rotation into a biological and a technical part, which together are
what was there before, consistency/gain/<ari, nmi or dice>, in points over these, and .../relative to them.

Where probes read hospitals, and settings are something else, they see the first row of each pair alone.
Without pairs only the probes and sub-cohorts are asked. Arrays of those test rows that have a partner:
consistency/agreement, the share of codebooks in which it is in the same cluster, and consistency/retrieval;
of those that probes see, for each probe 1 where it is right; consistency/<paired or probed>/subject says
whose they are. Pictures: test images of each of the fewest clusters; for figures, consistency/shown/...: see
`latent_pictures`. Table clusters: ARI of each K.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import from_numpy, nn

from latent_anatomy.evaluation import latent_pictures
from latent_anatomy.evaluation.common import Settings, embed
from latent_anatomy.evaluation.protocol import Paired, Results, Table
from latent_anatomy.evaluation.represented import codebook, represented
from latent_anatomy.metrics import clustering
from latent_anatomy.metrics.retrieval import partner_retrieval
from latent_anatomy.training import latents
from latent_anatomy.training.method import Data

NEEDS = (("represent",), ("encode",))
HIDDEN = 64
GAINS = ("ari", "nmi", "dice")
OF_PAIRS = ("consistency/agreement", "consistency/retrieval")
PARTNERED, PROBED = "consistency/paired/subject", "consistency/probed/subject"  # arrays: whose the others are
UNPAIRED = {"consistency/shown/*": "they are drawn, and are no values of test rows"}
Array = NDArray[np.float64]


class Params(Settings):
    """What is swept."""

    clusters: tuple[int, ...] = Field((5, 8, 10, 15, 20, 30), min_length=1, description="Each K.")
    codebooks: int = Field(10, ge=1, description="Seeds of k-means for each K.")
    starts: int = Field(1, ge=1, description="Of each k-means, of which the best is kept.")
    subcohorts: int = Field(20, ge=1, description="Random halves of the training subjects.")
    technical: latents.Named = Field("", description="What probes read; empty: modality, else site.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs training and test rows of the same settings, two or more."""
    try:
        train, test = (set(latents.factor(splits[name])) for name in ("train", "test"))
    except ValueError:
        return False
    return test <= train


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics, arrays and table as above."""
    method.eval()
    train, test = splits["train"], splits["test"]
    of_train, of_test = represented(method, train), represented(method, test)
    metrics: dict[str, float] = {}
    arrays: dict[str, Array] = {}
    tables = {}
    if test.pair is not None and (test.pair >= 0).any():
        metrics, arrays = _pairs(of_train, of_test, test, settings)
        if parts := _both_parts(method, train, test):
            before, _ = _pairs(*parts, test, settings)
            technical = parts[1].shape[1] - of_test.shape[1]
            turned = np.roll(parts[1], technical, axis=1)  # the biological part comes first there
            rows = latents.pairs(test).rows.cpu().numpy()
            drawn = latent_pictures.spectrum(turned, technical, rows)
            arrays |= {f"consistency/shown/spectrum/{name}": share for name, share in drawn.items()}
            for name in GAINS:
                gain = metrics[f"consistency/{name}"] - before[f"consistency/{name}"]
                metrics[f"consistency/gain/{name}"] = gain
                metrics[f"consistency/gain/{name}/relative"] = gain / before[f"consistency/{name}"]
        rows = [(clusters, metrics[f"consistency/{clusters}/ari"]) for clusters in settings.clusters]
        tables["clusters"] = Table(("clusters", "ari"), rows)
    metrics["consistency/subcohorts"] = _subcohorts(of_train, of_test, train.subject, settings, seed)
    asked = [latents.factor(data, settings.technical) for data in (train, test)]
    metrics["consistency/technical/chance"] = 1 / len(set(asked[0]))
    known = {"technical": [np.array(each) for each in asked]}
    if train.labels is not None:
        known["biology"] = [data.labels.cpu().numpy() for data in (train, test)]
    seen, shown = (_asked(data, names) for data, names in zip((train, test), asked, strict=True))
    arrays[PROBED] = np.array(test.subject)[shown]
    for name, (labels, truth) in known.items():
        for kind, right in _probes(of_train[seen], labels[seen], of_test[shown], truth[shown]).items():
            arrays[f"consistency/{name}/{kind}"] = right
            metrics[f"consistency/{name}/{kind}"] = _balanced(right, truth[shown])
    drawn = latent_pictures.plane(of_test, asked[1], test)
    label = codebook(of_train, min(settings.clusters), 0, settings.starts).predict(of_test)
    pictures = latent_pictures.clusters(label, test)
    arrays |= {f"consistency/shown/{name}": values for name, values in drawn.items()}
    arrays |= {f"figure/consistency/{name}": images for name, images in pictures.items()}
    return Results(metrics, arrays, tables)


def paired(arrays) -> dict[str, Paired]:
    """Means over test rows."""
    probes = [name for name in arrays if name.startswith(("consistency/technical/", "consistency/biology/"))]
    of_pairs = [name for name in OF_PAIRS if name in arrays]
    return {name: Paired((name,), subject=PARTNERED) for name in of_pairs} | {
        name: Paired((name,), subject=PROBED) for name in probes
    }


def _pairs(of_train: Array, of_test: Array, test: Data, settings: Params) -> tuple[dict, dict]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    one, other = latents.pairs(test).rows.T.cpu().numpy()
    metrics, same = {}, []
    for clusters in settings.clusters:
        found = []
        for seed in range(settings.codebooks):
            label = codebook(of_train, clusters, seed, settings.starts).predict(of_test)
            a, b = label[one], label[other]
            same.append(a == b)
            found.append(
                {
                    "ari": adjusted_rand_score(a, b),
                    "nmi": normalized_mutual_info_score(a, b),
                    "dice": clustering.dice(a, b),
                    "dice_weighted": clustering.dice(a, b, weighted=True),
                    "entropy": clustering.entropy(label, clusters),
                }
            )
            if test.labels is not None:
                found[-1]["biology_ari"] = adjusted_rand_score(test.labels.cpu().numpy(), label)
        for name in found[0]:
            mean = float(np.mean([each[name] for each in found]))
            metrics[f"consistency/{clusters}/{name}"] = mean
    for name in found[0]:
        means = [metrics[f"consistency/{clusters}/{name}"] for clusters in settings.clusters]
        metrics[f"consistency/{name}"] = float(np.mean(means))
    retrieved = partner_retrieval(from_numpy(of_test[one]), from_numpy(of_test[other])).numpy()
    metrics["consistency/retrieval"] = float(retrieved.mean())
    both = np.concatenate([one, other])
    order = np.argsort(both, kind="stable")
    arrays = {PARTNERED: np.array(test.subject)[both[order]]}
    for name, values in zip(OF_PAIRS, (np.mean(same, axis=0), retrieved), strict=True):
        arrays[name] = np.tile(values, 2)[order]
    return metrics, arrays


def _subcohorts(
    of_train: Array, of_test: Array, subject: tuple[str, ...], settings: Params, seed: int
) -> float:
    """At the middle one of the Ks; the halves are the same for every method."""
    from sklearn.metrics import adjusted_rand_score

    clusters = sorted(settings.clusters)[len(settings.clusters) // 2]
    whole = codebook(of_train, clusters, 0, settings.starts).predict(of_test)
    people, whose = np.unique(subject, return_inverse=True)
    found = []
    for cohort in range(settings.subcohorts):
        half = np.random.default_rng(cohort).permutation(len(people))[: (len(people) + 1) // 2]
        part = of_train[np.isin(whose, half)]
        label = codebook(part, min(clusters, len(part)), 0, settings.starts).predict(of_test)
        found.append(adjusted_rand_score(whole, label))
    return float(np.mean(found))


def _probes(of_train: Array, labels: NDArray, of_test: Array, truth: NDArray) -> dict[str, Array]:
    """Whether each test row is read rightly, (N,) float64, by a linear probe and one that is not."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    mean, scale = of_train.mean(0), of_train.std(0)
    seen, asked = ((each - mean) / np.where(scale > 0, scale, 1) for each in (of_train, of_test))
    probes = {
        "linear": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier((HIDDEN,), alpha=1e-2, max_iter=60, random_state=0),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stochastic Optimizer", category=UserWarning)
        return {
            name: (probe.fit(seen, labels).predict(asked) == truth) * 1.0 for name, probe in probes.items()
        }


def _both_parts(method: nn.Module, *splits: Data) -> list[Array]:
    """Biological and technical part side by side, (N, d) of each split; [] of a method without them."""
    if not hasattr(method, "encode"):
        return []
    made = [embed(method, data.images) for data in splits]
    if set(made[0]) != {"biological", "technical"}:
        return []
    return [torch.cat(list(each.values()), dim=1).double().cpu().numpy() for each in made]


def _asked(data: Data, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Rows that probes see: all where partners differ in what is read, else each anatomy once."""
    if data.pair is None:
        return np.arange(len(data))
    partner = enumerate(data.pair.tolist())
    alike = all(names[row] == names[other] for row, other in partner if other >= 0)
    return latents.anatomies(data).cpu().numpy() if alike else np.arange(len(data))


def _balanced(right: Array, truth: NDArray) -> float:
    return float(np.mean([right[truth == each].mean() for each in np.unique(truth)]))
