"""One file per method; each module exports its class as `Method` and its parameters as `Method.Params`.

A method that is given weights of others before it is trained also exports `weights(params)`, the downloads
that it needs with those parameters, and has `load_weights({"<download>/<file>": path})`.
"""

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

from latent_anatomy.data import download

FOLDER = Path(__file__).parent
NOT_METHODS = {"registry"}


def names() -> list[str]:
    """The methods there are: the files of this folder."""
    return sorted(
        module.name for module in pkgutil.iter_modules([str(FOLDER)]) if module.name not in NOT_METHODS
    )


def load(name: str) -> ModuleType:
    """Import the module of the method `name`; ValueError names the methods that exist."""
    if name not in names():
        raise ValueError(
            f"expected a method among {', '.join(names())}, found {name!r}: add methods/{name}.py"
        )
    module = import_module(f"latent_anatomy.methods.{name}")
    if not hasattr(getattr(module, "Method", None), "Params"):
        lacking = "Method.Params" if hasattr(module, "Method") else "Method"
        raise ValueError(
            f"methods/{name}.py: expected a class Method with Params, found no {lacking}: add it"
        )
    return module


def takes_weights(name: str) -> bool:
    """Whether the method `name` is given weights of others."""
    return download.takes_weights(FOLDER / f"{name}.py")


def weights(name: str, params: dict) -> tuple[download.Download, ...]:
    """What the method `name` is given with these parameters; ValueError where it cannot take it."""
    if not takes_weights(name):
        return ()
    module = load(name)
    if not hasattr(module.Method, "load_weights"):
        raise ValueError(f"methods/{name}.py: expected load_weights beside weights, found none: add it")
    return module.weights(module.Method.Params.model_validate(params))
