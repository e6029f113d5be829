"""A tiny project with all that a run may be made of: other runs, weights of others, a pool, own seeds."""

import copy
import hashlib
from pathlib import Path

import pytest
import tiny_project
from tiny_project import DATASET

from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import resolve

OTHER = "phantom-pneumoniamnist"
POOL = f"{DATASET}__{OTHER}"
WEIGHTS = b"0.25"
METHODS = {
    "shift": """
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam

from latent_anatomy.training.method import MethodParams, Schedules


class Method(nn.Module):
    ON = ("reconstruct", "encode")

    class Params(MethodParams):
        epochs: int = 1
        batch_size: int = 128

    def __init__(self, params, shape, on):
        super().__init__()
        self.params, self.on = params, on
        self.shift = nn.Parameter(torch.randn(()) / 100)

    def optimisers(self):
        return {"all": Adam(self.parameters(), lr=1e-2)}

    def schedules(self, optimisers, steps_per_epoch):
        return Schedules()

    def training_step(self, batches, update):
        images = batches["train"].images
        loss = F.mse_loss(self.reconstruct(images), images)
        update("all", loss)
        return {"loss": loss}

    def reconstruct(self, images):
        return self.on.reconstruct(images) + self.shift

    def encode(self, images):
        return self.on.encode(images)
""",
    "given": f"""
import torch
from torch import nn

from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.download import Download
from latent_anatomy.training.method import FittedParams


def weights(params):
    file = RawFile("teacher.txt", None, "sha256", "{hashlib.sha256(WEIGHTS).hexdigest()}")
    return (Download("teacher", (file,), "CC0-1.0", "ask its author"),)


class Method(nn.Module):
    class Params(FittedParams):
        pass

    def __init__(self, params, shape):
        super().__init__()
        self.register_buffer("level", torch.zeros(()))

    def load_weights(self, files):
        self.level.fill_(float(files["teacher/teacher.txt"].read_text()))

    def fit(self, train):
        pass

    def reconstruct(self, images):
        return torch.full_like(images, self.level.item())

    def encode(self, images):
        return {{"latent": images.flatten(1)}}
""",
}
# `elsewhere` stands on a run of another study, which stands on `shifted`, which stands on `ae`.
BLOCKS = {
    "given": {"method": "given"},
    "shifted": {"method": "shift", "on": "ae"},
    "twice": {"method": "shift", "on": "shifted"},
    "elsewhere": {"method": "shift", "on": "unoranic/twice"},
}


def content() -> dict:
    """Its params.yaml."""
    found = tiny_project.parameters()
    found["methods"] |= copy.deepcopy(BLOCKS)
    found["studies"]["unoranic"]["runs"] = ["ae", "given"]
    found["studies"]["sdnet"] = {"runs": ["elsewhere"], "evaluation": {"reconstruction": {}}}
    collection = found["collections"]["phantom"]
    collection["images"].append(OTHER)
    tiny = collection["studies"]["unoranic"]["changes"][0]
    changes = [tiny | {"runs": ["ae"]}, {"runs": ["twice"], "params": {"batch_size": 64}}]
    changes.append({"runs": ["ae"], "datasets": [POOL], "seeds": [1, 3]})
    collection["studies"]["unoranic"] = {"datasets": [DATASET, POOL], "seeds": [1], "changes": changes}
    collection["studies"]["sdnet"] = {"datasets": [DATASET], "seeds": [1], "changes": [{"seeds": [1, 2]}]}
    return found


def write_methods(package: Path) -> None:
    for name, source in METHODS.items():
        (package / f"methods/{name}.py").write_text(source, encoding="utf-8")


def mirror(folder: Path) -> Path:
    """A mirror folder with the weights."""
    folder.mkdir()
    (folder / "teacher.txt").write_bytes(WEIGHTS)
    return folder


def make(path: Path) -> None:
    """The project, finished by its real jobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENT_ANATOMY_MIRROR", str(mirror(path.parent / f"mirror-of-{path.name}")))
        tiny_project.finish(path, content(), methods=METHODS)


@pytest.fixture
def with_methods(monkeypatch):
    """Its methods among those of the package that runs."""
    modules = {}
    for name, source in METHODS.items():
        modules[name] = type(methods)(f"latent_anatomy.methods.{name}")
        exec(source, modules[name].__dict__)
    names, load, takes = methods.names(), methods.load, methods.takes_weights
    monkeypatch.setattr(methods, "names", lambda: [*names, *METHODS])
    monkeypatch.setattr(methods, "load", lambda name: modules[name] if name in METHODS else load(name))
    monkeypatch.setattr(
        methods, "takes_weights", lambda name: name == "given" or (name not in METHODS and takes(name))
    )
    digest, own = resolve.source_digest, {f"latent_anatomy.methods.{name}" for name in METHODS}
    monkeypatch.setattr(
        resolve, "source_digest", lambda *names: digest(*(name for name in names if name not in own))
    )
