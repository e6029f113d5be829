"""Protocols: one file each in `protocols` (see `protocol`), and which of them a method can be asked."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

from latent_anatomy.data import download

FOLDER = Path(__file__).parent / "protocols"
CAPABILITIES = (
    *("reconstruct", "anatomy", "encode", "decode", "posterior"),
    *("segment", "anomaly_map", "classify", "sample", "represent"),
)
EXPORTS = ("NEEDS", "Params", "possible", "evaluate", "paired")


def names() -> list[str]:
    """The protocols there are: the files of that folder."""
    return sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)]))


def load(name: str) -> ModuleType:
    """Import the module of the protocol `name`; ValueError names the protocols that exist."""
    if name not in names():
        raise ValueError(
            f"expected a protocol among {', '.join(names())}, found {name!r}: add "
            f"evaluation/protocols/{name}.py"
        )
    module = import_module(f"latent_anatomy.evaluation.protocols.{name}")
    where = f"evaluation/protocols/{name}.py"
    if lacking := [each for each in EXPORTS if not hasattr(module, each)]:
        raise ValueError(
            f"{where}: expected it to export {', '.join(EXPORTS)}, found no {lacking[0]}: add it"
        )
    unknown = {need.split(" ")[0] for line in module.NEEDS for need in line} - {*CAPABILITIES}
    if unknown or not module.NEEDS or not all(module.NEEDS):
        found = ", ".join(sorted(unknown)) or repr(module.NEEDS)
        raise ValueError(
            f"{where}: expected in NEEDS lines of {', '.join(CAPABILITIES)}, found {found}: correct it"
        )
    return module


def masks(name: str) -> tuple[str, ...]:
    """Names or patterns of the masks without which no data can answer a protocol.

    Read and not imported, so that planning is quick.
    """
    match = re.search(r"^MASKS = \((.*)\)", (FOLDER / f"{name}.py").read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(re.findall(r'"([^"]+)"', match[1])) if match else ()


def takes_weights(name: str) -> bool:
    """Whether the protocol `name` is given weights of others."""
    return download.takes_weights(FOLDER / f"{name}.py")


def weights(name: str, settings: dict) -> tuple[download.Download, ...]:
    """What the protocol `name` is given with these settings."""
    if not takes_weights(name):
        return ()
    module = load(name)
    return module.weights(module.Params.model_validate(settings))


def capabilities(method: object) -> set[str]:
    """What a method declares that it can do, by having it; classifiers also "classify <task>"."""
    declared = {name for name in CAPABILITIES if hasattr(method, name)}
    return declared | {f"classify {method.task}"} if "classify" in declared else declared


def applies(protocol: str, method: object) -> bool:
    """Whether a method has all that one line of a protocol's NEEDS names."""
    declared = capabilities(method)
    return any(declared.issuperset(line) for line in load(protocol).NEEDS)
