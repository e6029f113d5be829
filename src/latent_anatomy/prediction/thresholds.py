"""Where maps are cut: the thresholds that the evaluation of a run left, by protocol and kind.

Those that could be known without the test images: of `lesions` from training and from validation patients, of
`anomalies` from healthy validation images. An oracle's threshold, and one from test images, is none of them.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.evaluation.protocols import lesions
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.metrics.lesions.stacks import stacks
from latent_anatomy.provenance import verify

STATED = ("lesions/training", "lesions/validation", "anomalies/validation")


def of_run(folder: Path, model: str) -> tuple[dict[str, dict], str, dict[str, Path]]:
    """Thresholds in the `folder` of a run's results; why there are none, or ""; and the file they are of.

    ValueError where the results are damaged or not those of the checkpoint with the SHA-256 `model`.
    """
    metrics, passport = folder / "metrics.json", folder / "passport.json"
    if not metrics.is_file() or not passport.is_file():
        return {}, f"thresholds are left out: no evaluation of this run is here ({folder.name})", {}
    proof = verify.beside(passport, {"metrics": metrics})
    verify.made_of(passport, proof, {"model": model})
    values, asked = json.loads(metrics.read_text(encoding="utf-8")), proof["job"].get("evaluation", {})
    found = {}
    for name in STATED:
        if (value := values.get(f"{name}/threshold")) is not None:
            protocol = name.split("/")[0]
            post = lesions.Params.model_validate(asked[protocol]).post if protocol == "lesions" else None
            found[name] = {"value": value, "post": post and post.model_dump(mode="json")}
    lacking = [name for name in STATED if name not in found]
    left_out = f"thresholds are left out that no protocol has set: {', '.join(lacking)}" if lacking else ""
    return found, left_out, {"metrics": metrics}


def above(
    rule: dict, maps: NDArray[np.float32], region: NDArray[np.bool_], position: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """What a threshold, as in `of_run`, calls ill of a patient's maps (S, H, W), as its protocol does.

    region (S, H, W), where the patient has brain (or is); position (S,), neighbours one apart.
    """
    value = np.float32(rule["value"])
    if rule["post"] is None:
        return (maps >= value) & (maps > 0)
    post, found = PostProcessing.model_validate(rule["post"]), np.zeros(maps.shape, bool)
    for _, rows in stacks(np.full(len(position), "one"), position):
        found[rows] = post.segment(post.smooth(maps[rows], region[rows]), float(value))
    return found
