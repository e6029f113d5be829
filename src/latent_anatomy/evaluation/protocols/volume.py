"""How large is the left ventricle, in millilitres? (Chartsias et al. 2019, section 5.2)

A small network reads from the anatomy s of a slice how many of its pixels are left ventricle: two 3x3
convolutions of 16 filters with ReLU, a dense layer of 16 with ReLU, one of 1 with ReLU. A volume is the sum
over its slices of pixels x area of a pixel x distance of slices. Two ways of training it:

    frozen        on s as the method makes it; the pass with the lowest loss on validation subjects is kept
    fine-tuned    from there, with a copy of the method: a training step of its own, then one of the volume
                  loss, which reaches the anatomy encoder through the rounding, `steps` times; the last
                  weights are kept, as the paper's code keeps those of segmentation

The paper trains on the areas of subjects whose masks the method did not see: `areas="unlabelled"`. It leaves
open, and these are choices made here: stride 1 and borders of 0, the loss (`loss`), the rate
(`learning_rate`, see `area_regressor.fit`), and that areas are in units of their mean, at which the last bias
begins, so that the last ReLU is not dead at the start. Both read areas on slices of all phases that are
drawn, and are asked for the test subjects' volumes at ED.

Beside them stands what needs no regressor: "mean", the mean volume of the training subjects, said of
everybody, and "counted", the pixels that the method segments as left ventricle (the likeliest structure).

    volume/<w>/mean_ml, sd_ml, true_mean_ml, true_sd_ml, bias_ml, loa_low_ml, loa_high_ml, mae_ml, r
                                            of w "frozen", "fine-tuned", "mean" and "counted": see
                                            `metrics.agreement`
    volume/<w>/p_value, p_permutation       paired t-test of predicted and true; sign flips of subjects
    volume/fine-tuned/slice-dice/<m>        the copy's, see `segmentation`

Of one volume, as where a fold tests one subject, there are means, bias and error alone; pool the folds'
arrays. Arrays, of each volume: volume/subject (V,) text, volume/true_ml, volume/<w>/ml (V,) float64.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats
from torch import Tensor, nn

from latent_anatomy.evaluation.area_regressor import Regressor, Training, fine_tune, fit, read
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols import segmentation
from latent_anatomy.evaluation.protocols.segmentation import groups, parts, texts
from latent_anatomy.metrics import dice
from latent_anatomy.metrics.agreement import agreement
from latent_anatomy.statistics.inference import sign_flip
from latent_anatomy.training.method import Data
from latent_anatomy.training.seeds import derived_seed

NEEDS = (("anatomy", "segment"),)
MASKS = ("left-ventricle",)
UNPAIRED = {"volume/*": "volumes are compared with the true ones, and not with another run's"}

STRUCTURE = "left-ventricle"
PHASE = "ED"


class Params(Training):
    """How both are trained, and on whom."""

    areas: Literal["unlabelled", "all"] = Field(
        "unlabelled", description="Training subjects whose areas are known: those without masks, or all."
    )


def possible(splits: dict[str, Data]) -> bool:
    """Whether the data have spacing and drawn left ventricles in every split, in that of the test at ED."""
    return not _missing(splits)


def _missing(splits: dict[str, Data]) -> str:
    for name in ("train", "val", "test"):
        data = splits[name]
        if data.spacing_mm is None:
            return f"split {name}: expected the spacing of every slice in mm, found none"
        if data.masks is None or STRUCTURE not in data.mask_names:
            names = ", ".join(data.mask_names) or "none"
            return f"split {name}: expected masks of the {STRUCTURE}, found {names}"
        if not len(_delineated(data)):
            return f"split {name}: expected slices on which the {STRUCTURE} is drawn, found none"
    if not len(_delineated(splits["test"], PHASE)):
        return f"split test: expected slices at {PHASE} on which the {STRUCTURE} is drawn, found none"
    return ""


def _delineated(data: Data, phase: str = "") -> Tensor:
    """Rows (n,) of the slices on which the left ventricle is drawn, of one phase where the data have any."""
    known = dice.delineated(data.masks)[:, data.mask_names.index(STRUCTURE)]
    if phase and data.phase:
        known = known & torch.tensor([each == phase for each in data.phase], device=data.device)
    return known.nonzero()[:, 0]


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError for data of which no volume can be known, see `possible`."""
    if missing := _missing(splits):
        raise ValueError(f"volume: {missing}: leave this protocol out for these data")
    method.eval()
    train, test = splits["train"], splits["test"]
    rows = {
        "train": _known(train, settings),
        "val": _delineated(splits["val"]),
        "test": _delineated(test, PHASE),
    }
    areas = {name: _areas(splits[name], chosen) for name, chosen in rows.items()}
    unit = float(areas["train"].mean())
    if unit == 0:
        raise ValueError(f"volume: expected training slices that show a {STRUCTURE}, found it on none")

    volumes, membership = groups(*([text[row] for row in rows["test"].tolist()] for text in texts(test)))
    subjects = np.array([subject for subject, *_ in volumes])
    pixel_ml = test.spacing_mm[rows["test"]].cpu().double().prod(1) / 1000

    def millilitres(pixels: Tensor) -> NDArray[np.float64]:
        zeros = torch.zeros(len(volumes), dtype=torch.float64)
        return zeros.index_add(0, membership, pixels.cpu().double() * pixel_ml).numpy()

    true = millilitres(areas["test"])
    metrics, arrays = {}, {"volume/subject": subjects, "volume/true_ml": true}
    said = {
        "mean": np.full(len(true), _mean_volume(train, rows["train"])),
        "counted": millilitres(_counted(method, test, rows["test"])),
    }
    for name, (encoder, reader) in _trained(method, splits, rows, areas, unit, settings, seed).items():
        said[name] = millilitres(unit * read(reader, _anatomy(encoder, test, rows["test"])))
        if name == "fine-tuned":
            table = segmentation.count(encoder, test).of_subjects()[1]["slice-dice"]
            names = ("average", *test.mask_names)
            metrics |= segmentation.summary(f"volume/{name}/slice-dice", names, table)
    for name, predicted in said.items():
        measured = tested(predicted, true, subjects, derived_seed(seed, name))
        metrics |= {f"volume/{name}/{key}": value for key, value in measured.items()}
        arrays[f"volume/{name}/ml"] = predicted
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}


def _trained(
    method: nn.Module,
    splits: dict[str, Data],
    rows: dict[str, Tensor],
    areas: dict[str, Tensor],
    unit: float,
    settings: Params,
    seed: int,
) -> dict[str, tuple[nn.Module, nn.Module]]:
    """Both methods, in evaluation mode, each with what reads its s in units of `unit` pixels."""
    anatomy = {name: _anatomy(method, splits[name], rows[name]) for name in ("train", "val")}
    scaled = {name: values / unit for name, values in areas.items()}
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, "regressor"))
        regressor = Regressor(*anatomy["train"].shape[1:]).to(splits["train"].device)
        fit(regressor, anatomy, scaled, settings, seed)
        tuned = fine_tune(method, regressor, splits["train"], rows["train"], scaled["train"], settings, seed)
    return {"frozen": (method, regressor), "fine-tuned": tuned}


def _known(train: Data, settings: Params) -> Tensor:
    """Rows (n,) of the training slices whose areas are known; ValueError when there are none."""
    rows = _delineated(train)
    if settings.areas == "unlabelled":
        rows = rows[:0] if train.labelled is None else rows[~train.labelled[rows]]
    if not len(rows):
        raise ValueError(
            "volume: expected training subjects whose masks the method has not seen, found none: give "
            "`areas: all`, or a cohort of which a part is labelled"
        )
    return rows


def _areas(data: Data, rows: Tensor) -> Tensor:
    """Pixels (n,) float32 of left ventricle on these slices; all that is taken from their masks."""
    return data.masks[rows, data.mask_names.index(STRUCTURE)].sum((1, 2)).float()


@torch.no_grad()
def _anatomy(method: nn.Module, data: Data, rows: Tensor) -> Tensor:
    """s of these slices (n, C, H, W), held as float16, in which 0 and 1 are exact."""
    return torch.cat([method.anatomy(data.batch(part).images).half() for part in parts(rows, data)])


def _mean_volume(train: Data, rows: Tensor) -> float:
    """Mean volume in ml, at ED where there are phases, of the training subjects whose areas are known."""
    at_ed = [row for row in rows.tolist() if train.phase and train.phase[row] == PHASE]
    chosen = torch.tensor(at_ed or rows.tolist(), device=rows.device)
    volumes, membership = groups(*([text[row] for row in chosen.tolist()] for text in texts(train)))
    sizes = _areas(train, chosen).double() * train.spacing_mm[chosen].double().prod(1) / 1000
    return float(torch.zeros(len(volumes)).double().index_add(0, membership, sizes.cpu()).mean())


@torch.no_grad()
def _counted(method: nn.Module, data: Data, rows: Tensor) -> Tensor:
    """Pixels (n,) of these slices that are likeliest to be left ventricle."""
    plane = data.mask_names.index(STRUCTURE)
    found = [
        dice.hard(method.segment(data.batch(part).images).float())[:, plane] for part in parts(rows, data)
    ]
    return torch.cat(found).sum((1, 2))


def tested(predicted: NDArray, true: NDArray, subjects: Sequence[str], seed: int) -> dict[str, float]:
    """The measures above of volumes (V,) float64, whose subjects are (V,) text."""
    values = agreement(predicted, true, "_ml")
    if len(true) > 1:
        differences = predicted - true
        varies = differences.std() > 0
        values |= {
            "p_value": float(stats.ttest_rel(predicted, true).pvalue if varies else differences[0] == 0),
            "p_permutation": float(sign_flip(differences, subjects, seed=seed)),
        }
    return values
