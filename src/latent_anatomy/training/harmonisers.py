"""What every harmoniser of latents shares: it knows the setting of each row, in training and after.

Which four the rotation of Pan et al. (arXiv 2509.11436) was compared with could not be read; ComBat, CovBat,
CORAL and location-scale are this project's choice. All are fitted on training rows only and applied to new
ones, whose setting must be told: a rotation is not told it.

A full covariance of a setting, as CORAL has it, cannot be estimated of fewer rows than features: that is
refused. Of more rows, but fewer subjects, it can, though rows of one subject are alike: that is said.
"""

import sys

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.training.latents import LatentParams, Named, Standard, encoded, factor, indices, width_of
from latent_anatomy.training.method import Data, Shape

MOST, LONGEST = 16, 64  # settings, and bytes of a name: a checkpoint has room for so many


class Settings(nn.Module):
    """The names of the settings that were there in training, as a part of a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("written", torch.zeros(MOST, LONGEST, dtype=torch.uint8))

    def fit(self, data: Data, least: int, column: Named) -> Tensor:
        """The setting of each row (N,) int64; ValueError for one with fewer than `least` rows."""
        names = factor(data, column)
        known = tuple(sorted(set(names)))
        if len(known) > MOST or max(len(name.encode()) for name in known) > LONGEST:
            expected = f"at most {MOST} of at most {LONGEST} bytes"
            raise defect("settings", expected, f"{len(known)}", "pool settings, or shorten their names")
        for name in known:
            if names.count(name) < least:
                expected = f"{least} rows or more"
                raise defect(f"setting {name}", expected, names.count(name), "leave it out, or add slices")
        self.written.zero_()
        for row, name in zip(self.written, known, strict=False):
            row[: len(name.encode())] = torch.tensor(list(name.encode()), dtype=torch.uint8)
        return indices(names, known, data.device)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their indices."""
        return tuple(bytes(row).rstrip(b"\0").decode() for row in self.written.tolist() if any(row))

    def of(self, data: Data) -> Tensor:
        """The setting of each row (N,) int64; ValueError for one that training did not have."""
        known = self.names
        found = data.modality if set(data.modality) <= set(known) else data.site
        return indices(found, known, data.device)


class HarmoniserParams(LatentParams):
    """Parameters of whatever is told settings."""

    setting: Named = Field("", description="Whose moments: the column; empty: modality, else site.")


class Harmoniser(nn.Module):
    """Capability `represent`: the harmonised latents (N, d) float32 of rows whose setting is known.

    Statistics of settings are buffers (MOST, ...), of which the first rows are used.
    """

    ON = ("encode",)
    Params = HarmoniserParams
    DETERMINISTIC = True
    LEAST = 3  # rows of a setting
    COVARIANCE = False  # whether it estimates the full covariance of each setting

    def __init__(self, params: HarmoniserParams, shape: Shape, on: nn.Module):
        super().__init__()
        self.params, self.on = params, on
        self.width = width_of(on, shape, params.embedding)
        self.standard, self.settings = Standard(self.width), Settings()

    def room(self, names: str, *shape: int) -> None:
        """A float64 buffer of this shape for each of these names."""
        for name in names.split():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def learn(self, latents: Tensor, setting: Tensor) -> None:
        """From standardised latents (N, d) float64 and settings (N,) int64."""
        raise NotImplementedError

    def harmonised(self, latents: Tensor, setting: Tensor) -> Tensor:
        """The same of new rows (n, d)."""
        raise NotImplementedError

    def fit(self, train: Data) -> None:
        """On the training split alone."""
        setting = self.settings.fit(train, self.LEAST, self.params.setting)
        latents = self.standard.fit(encoded(self.on, train.images, self.params.embedding))
        if self.COVARIANCE:
            self._check_covariances(setting.tolist(), train.subject)
        self.learn(latents, setting)

    def represent(self, data: Data) -> Tensor:
        """Rows of any split -> (N, d) float32."""
        latents = self.standard(encoded(self.on, data.images, self.params.embedding))
        return self.harmonised(latents, self.settings.of(data)).float()

    def _check_covariances(self, setting: list[int], subject: tuple[str, ...]) -> None:
        """ValueError for a setting with fewer rows than features, a line on one with fewer subjects."""
        features = len(self.standard.columns)
        for index, name in enumerate(self.settings.names):
            rows = [row for row, own in enumerate(setting) if own == index]
            people = len({subject[row] for row in rows})
            if len(rows) <= features:
                expected = f"more rows than the {features} features, whose covariance is estimated"
                raise defect(
                    f"setting {name}", expected, len(rows), "pool settings, or use location_scale or combat"
                )
            if people <= features:
                print(
                    f"setting {name}: {people} subjects for {features} features: an unsure covariance",
                    file=sys.stderr,
                )


def moments(latents: Tensor, setting: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (S,), means (S, d) and variances (S, d), n - 1, of each of `count` settings."""
    parts = [latents[setting == index] for index in range(count)]
    rows = torch.tensor([len(part) for part in parts], dtype=latents.dtype, device=latents.device)
    return (
        rows,
        torch.stack([part.mean(0) for part in parts]),
        torch.stack([part.var(0) for part in parts]),
    )
