"""Raw files as tests register and damage them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latent_anatomy.data.dataset import RawFile
from latent_anatomy.provenance.files import sha256_file


def registered(dataset, path: Path, arrays: dict[str, np.ndarray], **changes):
    """The data set with one .npz file of these arrays at `path`, which it has the checksum of."""
    np.savez(path, **arrays)
    return replace(dataset, file=RawFile(path.name, None, "sha256", sha256_file(path)), **changes)


def assert_checked_before_parsed(dataset, path: Path, monkeypatch) -> None:
    """With one bit flipped in `path`, a file of the data set, its folder is refused before it is parsed."""
    checksum, content = sha256_file(path), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(ValueError, match=rf"{path.name}: expected sha256 {checksum}, found"):
        dataset.to_slices(path.parent)
