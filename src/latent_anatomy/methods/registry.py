"""One file per method; each module exports its class as `Method` and its parameters as `Method.Params`."""

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

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
    return import_module(f"latent_anatomy.methods.{name}")
