"""Are anomalies told from healthy images, and where are they? (Bercea et al., RA, Tables 1 to 3)

Of methods that were trained on healthy images. A test image is healthy where its label is 0 or, without
labels, where it has no box. All numbers are fractions, where the paper has per cent.

    anomalies/boxes/<class, total>         how many boxes
    anomalies/<kind>/threshold             where maps are cut: 5 % of the pixels of healthy images lie above
        validation     of the healthy validation images
        as_released    of the healthy test images, in steps of 0.001; absent without any, or above 0.999
    anomalies/<kind>/<class, total>/detected, recall     boxes that are found, and the part of them
    anomalies/<kind>/<class, total>/f1                   as in Table 1, see `metrics.localisation`
    anomalies/<kind>/<class, total>/f1_capped            with at most 10 false positives, as in Table 2
    anomalies/<kind>/<class, total>/f1_scale_free        the same of a map and of the map times a number
    anomalies/detection/auc, auprc, fpr95, fpr99, prevalence    of the mean of each test image's map, see
                                           `metrics.detection`
    anomalies/detection/acc                where at most 5 % of healthy validation images are called anomalous
    anomalies/healthy/ssim                 of reconstructions of healthy test images, 7 x 7, as in Table 3
    anomalies/hospital/auc                 healthy test images of hospitals that nobody trained on against
                                           the others: what a score says of the hospital and not of disease
    anomalies/hospital/detection_auc       anomalous images against healthy ones of their own hospitals

A total is the mean over boxes: only so does Table 2 give its printed averages. False positives lie on tissue
(mask brain, head or foreground; without any, everywhere) outside of all boxes, as the paper's masks are taken
to be. Its boxes were softened by resizing; here they are whole pixels.

Arrays: anomalies/box/subject (B,) text; anomalies/box/class (B,) int64; anomalies/<kind>/recall, f1,
f1_capped, f1_scale_free (B,) float64; anomalies/detection/labels (N,) int64 and scores (N, 2), s / (s + t) of
an image's score s and the threshold t of `acc`, and 1 minus it; of up to 8 anomalous images
figure/anomalies/<original, reconstruction, map, segmentation, boxes>, the map white at twice the threshold.
Table classes: at the threshold from validation.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.evaluation.common import Settings, batches, pictures, redraw, spaced
from latent_anatomy.evaluation.protocol import Paired, Results, Table
from latent_anatomy.metrics import classification, localisation
from latent_anatomy.metrics.detection import calibrated, detection
from latent_anatomy.metrics.lesions.stacks import check_scores
from latent_anatomy.training.method import Data, Stack

NEEDS = (("anomaly_map",),)
UNPAIRED = {"anomalies/box/class": "which class a box is of, for tables of one class"}
PLOTS = {"classes": {"template": "bar_horizontal", "x": "recall", "y": "class"}}
TISSUE = ("brain", "head", "foreground")
SSIM_WINDOW = 7
MEASURES = ("recall", "f1", "f1_capped", "f1_scale_free")


class Params(Settings):
    """What the paper has in code alone."""

    false_positive_rate: float = Field(0.05, gt=0, lt=1, description="Of pixels, and of images for `acc`.")
    cap: float = Field(10, gt=0, description="Most false positives of a box in f1_capped.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs healthy images to validate, and to test boxes, or anomalous images and healthy ones."""
    test, val = splits["test"], splits["val"]
    boxes = test.boxes is not None and len(test.boxes) > 0
    ill = anomalous(test)
    return bool(len(val) and (~anomalous(val)).any() and (boxes or (ill.any() and not ill.all())))


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics, arrays and table as above; ValueError for maps that are negative or not finite."""
    method.eval()
    test, val, rate = splits["test"], splits["val"], settings.false_positive_rate
    maps, reconstructions = answers(method, test)
    ill = anomalous(test)
    healthy = answers(method, chosen(val, ~anomalous(val)))[0]
    levels = {"validation": localisation.threshold(healthy, rate)}
    if not ill.all() and (level := localisation.threshold_on_grid(maps[~ill], rate)) is not None:
        levels["as_released"] = level
    metrics: dict[str, float] = {f"{kind}/threshold": level for kind, level in levels.items()}
    arrays: dict[str, NDArray] = {}
    tables = {}
    if test.boxes is not None and len(test.boxes):
        boxes = test.boxes.cpu().numpy()
        arrays |= {
            "box/subject": np.array(test.subject)[boxes[:, 0]],
            "box/class": boxes[:, 5].astype(np.int64),
        }
        groups = {name: boxes[:, 5] == kind for kind, name in enumerate(test.box_names)}
        groups = {name: own for name, own in groups.items() if own.any()} | {"total": boxes[:, 0] >= 0}
        metrics |= {f"boxes/{name}": float(own.sum()) for name, own in groups.items()}
        for kind, level in levels.items():
            values = measured(localisation.score(maps, boxes, tissue(test), level), settings.cap)
            arrays |= {f"{kind}/{name}": each for name, each in values.items()}
            for name, own in groups.items():
                metrics |= {f"{kind}/{name}/{key}": float(each[own].mean()) for key, each in values.items()}
                metrics[f"{kind}/{name}/detected"] = float(values["recall"][own].sum())
        keys = [f"validation/{{}}/{key}" for key in MEASURES]
        rows = [
            (name, int(own.sum()), *(metrics[key.format(name)] for key in keys))
            for name, own in groups.items()
        ]
        tables["classes"] = Table(("class", "boxes", *MEASURES), rows)
    score = maps.mean(axis=(1, 2), dtype=np.float64)
    if ill.any() and not ill.all():
        cut = localisation.threshold(healthy.mean(axis=(1, 2), dtype=np.float64), rate)
        scores = calibrated(score, cut)
        arrays |= {"detection/labels": ill.astype(np.int64), "detection/scores": scores}
        metrics |= {f"detection/{name}": value for name, value in detection(ill, score).items()}
        metrics["detection/acc"] = classification.acc(ill.astype(np.int64), scores)
    if test.site and ill.any() and not ill.all():
        metrics |= {f"hospital/{name}": each for name, each in hospitals(splits, ill, score).items()}
    if reconstructions is not None and not ill.all():
        metrics["healthy/ssim"] = float(np.mean(list(ssim(test.images[~ill], reconstructions[~ill]))))
    shown = np.flatnonzero(ill)[spaced(int(ill.sum()))] if ill.any() else np.zeros(0, int)
    planes = drawn(test, shown, maps, reconstructions, levels["validation"]) if len(shown) else {}
    return Results(
        {f"anomalies/{name}": value for name, value in metrics.items()},
        {f"anomalies/{name}": each for name, each in arrays.items()}
        | {f"figure/anomalies/{name}": pictures(each) for name, each in planes.items()},
        tables,
    )


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Boxes, whose means are the totals; and image scores, by their AUC and ACC."""
    pairs = {
        f"anomalies/{kind}/total/{name}": Paired(
            (f"anomalies/{kind}/{name}",), subject="anomalies/box/subject"
        )
        for kind in ("validation", "as_released")
        for name in MEASURES
        if f"anomalies/{kind}/{name}" in arrays
    }
    if "anomalies/detection/scores" in arrays:
        pairs["anomalies/detection"] = Paired(
            ("anomalies/detection/scores",), labels="anomalies/detection/labels"
        )
    return pairs


def anomalous(data: Data) -> NDArray[np.bool_]:
    """Which images (N,) are not healthy."""
    if data.labels is not None:
        return data.labels.cpu().numpy() > 0
    marked = np.zeros(len(data), bool)
    if data.boxes is not None:
        marked[data.boxes[:, 0].cpu().numpy()] = True
    return marked


def chosen(data: Data, rows: NDArray[np.bool_]) -> Data:
    """The images of some rows, with what a method may see of them."""
    kept = np.flatnonzero(rows)
    index = torch.from_numpy(kept).to(data.device)
    return Data(
        data.stored[index],
        masks=None if data.masks is None else data.masks[index],
        mask_names=data.mask_names,
        subject=tuple(data.subject[row] for row in kept),
        position=data.position[index],
    )


def tissue(data: Data) -> NDArray[np.bool_]:
    """Where there is tissue, (N, H, W); everywhere without a mask."""
    name = next((name for name in TISSUE if name in data.mask_names), None)
    if name is None:
        return np.ones((len(data), *data.stored.shape[2:]), bool)
    return data.masks[:, data.mask_names.index(name)].cpu().numpy() == 1


@torch.no_grad()
def answers(method: nn.Module, data: Data) -> tuple[NDArray[np.float32], Tensor | None]:
    """Anomaly maps (N, H, W) and, of methods that have them, reconstructions (N, C, H, W).

    A method whose map is a `residual` of a reconstruction is asked for many images at once, any other one
    subject at a time.
    """
    rebuilt = redraw(method, data.images) if hasattr(method, "reconstruct") else None
    if rebuilt is not None and hasattr(method, "residual"):
        parts = zip(batches(data.images), batches(rebuilt), strict=True)
        maps = torch.cat([method.residual(*pair) for pair in parts])
    else:
        maps = torch.empty(len(data), 1, *data.stored.shape[2:], device=data.device)
        region = torch.from_numpy(tissue(data)).to(data.device)
        rows, place = np.array(data.subject), data.position.cpu().numpy()
        for subject in dict.fromkeys(data.subject):
            own = np.flatnonzero(rows == subject)
            own = torch.from_numpy(own[np.argsort(place[own], kind="stable")]).to(data.device)
            maps[own] = method.anomaly_map(Stack(data.batch(own).images, region[own], data.position[own]))
    expected = (len(data), 1, *data.stored.shape[2:])
    if tuple(maps.shape) != expected:
        raise ValueError(f"expected anomaly maps of shape {expected}, found {tuple(maps.shape)}")
    values = maps[:, 0].float().cpu().numpy()
    check_scores(values)
    return values, rebuilt


def measured(boxes: localisation.Boxes, cap: float) -> dict[str, NDArray[np.float64]]:
    """MEASURES of each box (B,)."""
    values = (boxes.found.astype(float), boxes.f1(), boxes.f1(most=cap), boxes.f1(scale_free=True))
    return dict(zip(MEASURES, values, strict=True))


def hospitals(
    splits: dict[str, Data], ill: NDArray[np.bool_], score: NDArray[np.float64]
) -> dict[str, float]:
    """What a score (N,) says of hospitals, and of disease within them, where there are images for it."""
    site = np.array(splits["test"].site)
    elsewhere, same = ~np.isin(site, splits["train"].site), np.isin(site, site[ill])
    measured = {}
    if elsewhere[~ill].any() and not elsewhere[~ill].all():
        measured["auc"] = detection(elsewhere[~ill], score[~ill])["auc"]
        if not ill[same].all():
            measured["detection_auc"] = detection(ill[same], score[same])["auc"]
    return measured


def ssim(images: Tensor, reconstructions: Tensor) -> Iterator[float]:
    """Of each pair of images (N, C, H, W), reconstructions clamped to [0, 1], as skimage has it."""
    from skimage.metrics import structural_similarity

    for image, rebuilt in zip(images.cpu().numpy(), reconstructions.clamp(0, 1).cpu().numpy(), strict=True):
        yield structural_similarity(rebuilt, image, win_size=SSIM_WINDOW, data_range=1, channel_axis=0)


def drawn(
    data: Data, rows: NDArray[np.int64], maps: NDArray, reconstructions: Tensor | None, level: float
) -> dict[str, Tensor]:
    """The planes of the figure, (n, C, H, W) float32."""
    index = torch.from_numpy(rows).to(data.device)
    shown = torch.from_numpy(maps[rows])[:, None]
    outlines = torch.zeros_like(shown)
    marked = [] if data.boxes is None else data.boxes.tolist()
    for place, row in enumerate(rows.tolist()):
        for _, left, top, wide, high, _ in (box for box in marked if box[0] == row):
            plane = outlines[place, 0, top : top + high, left : left + wide]
            plane[[0, -1]] = 1
            plane[:, [0, -1]] = 1
    planes = {
        "original": data.batch(index).images,
        "map": shown / (2 * level) if level > 0 else shown,
        "segmentation": ((shown >= level) & (shown > 0)).float(),
        "boxes": outlines,
    }
    return planes if reconstructions is None else planes | {"reconstruction": reconstructions[index]}
