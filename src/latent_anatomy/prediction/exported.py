"""An exported model: one safetensors file with the weights and, as its metadata, one JSON; no code.

The JSON is a sealed passport (`provenance.passport`), so that the seal holds over the weights and over all
that is said of them, and `latent-anatomy passport` prints it:

    format       "latent-anatomy export <number>"
    method, shape, training    its name, its `Shape`, the resolved job of its training with all parameters
    imaging      {"modality": ..., "steps": step -> job} of brains, {"modality": ..., "hearts": spacing_mm
                 and size} of ACDC, None for other data sets of images
    images       what it was trained on: `training_images.summary`; `native_mm`, the voxels of raw volumes
    region       the mask inside of which it is asked: "brain", "head", ...; None: everywhere
    thresholds   "lesions/training" -> {"value": ..., "post": how maps are filtered, or None}
    left_out     why there are fewer thresholds than might be, or ""
    licence      {"dataset": ..., "terms": ..., "forbids_commercial_use": ...} of the training images
    method_source              digest of the method's modules
    inputs, job, environment   as in every passport
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from latent_anatomy.jobs.checkpoint import load_checkpoint
from latent_anatomy.jobs.inputs import build
from latent_anatomy.provenance import formats, verify
from latent_anatomy.provenance.files import atomic_write, canonical_json
from latent_anatomy.provenance.passport import sealed
from latent_anatomy.provenance.sources import source_digest
from latent_anatomy.training.method import Shape

FORMAT = "latent-anatomy export 1"
SUFFIX = ".safetensors"
CAPABILITIES = ("anomaly_map", "reconstruct", "segment")
AGAIN = "export the run again with this version"


@dataclass(frozen=True, eq=False)
class Exported:
    """A model that can be asked, in evaluation mode on its device, and what its file says of it."""

    document: dict
    method: nn.Module
    device: torch.device

    @property
    def shape(self) -> Shape:
        return shape(self.document["shape"])

    @property
    def changed(self) -> bool:
        """Whether the sources of its method have changed since it was exported."""
        return self.document["method_source"] != method_source(self.document["training"])

    @property
    def licence(self) -> str:
        """One line on what may be done with it."""
        says = self.document["licence"]
        forbidden = ": no commercial use" if says["forbids_commercial_use"] else ""
        return f"trained on {says['dataset']}, whose licence is {says['terms']}{forbidden}"


def write(path: Path, weights: dict[str, Tensor], document: dict) -> None:
    """Write an exported model atomically: same weights and document, same bytes.

    ValueError for a name that does not end in .safetensors.
    """
    if Path(path).suffix != SUFFIX:
        found = Path(path).name
        raise ValueError(f"{path}: expected a name ending in {SUFFIX}, found {found!r}: rename the output")
    whole = sealed(document, content=formats.of_safetensors(save(weights)))
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(weights, metadata={"passport": canonical_json(whole)}))


def read(path: Path, device: torch.device) -> Exported:
    """The model in `path`, after its seal was found whole.

    ValueError for a file that is damaged, edited, of another format, no export at all, of a method that this
    version does not have, or has with other parameters; FileNotFoundError without one.
    """
    document = verify.whole(path)
    found = document.get("format", "a checkpoint, which lacks the settings of its images")
    if found != FORMAT:
        remedy = AGAIN if "format" in document else "export its run, or give the folder of the run"
        raise ValueError(f"{path}: expected {FORMAT!r}, found {found!r}: {remedy}")
    job = document["training"]
    try:
        method = build(job, shape(document["shape"]), device)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path}: expected parameters of {job['method']} as this version has them, found {where}: "
            f"{first['msg'].lower()}: use the version that trained it, or train again"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    load_checkpoint(method.eval(), path)
    if not any(hasattr(method, each) for each in CAPABILITIES):
        raise ValueError(
            f"{path}: expected a method that can {' or '.join(CAPABILITIES)}, found {job['method']}, which "
            "cannot: there is nothing to predict"
        )
    return Exported(document, method, device)


def shape(content: dict) -> Shape:
    """The shape of a document."""
    return Shape(**content | {"structures": tuple(content["structures"])})


def method_source(training: dict) -> str:
    """Digest of the modules of a training's method, and of those on which it stands."""
    names = [training["method"]]
    while training := training.get("on"):
        names.append(training["method"])
    return source_digest(*sorted({f"latent_anatomy.methods.{name}" for name in names}))
