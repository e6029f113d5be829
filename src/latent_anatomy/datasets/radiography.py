"""COVID-19 Radiography Database: normal chest X-rays to train on, and others to tell from them.

Chowdhury et al.: IEEE Access 8 (2020); Rahman et al.: Computers in Biology and Medicine 132 (2021); Kaggle,
tawsifurrahman/covid19-radiography-database. Raw layout, in whatever folder below that of the data set:
`<class>/images/<class>-<number>.png`, 299 x 299, of which RA (Bercea et al., Table 3) has

    radiography         10,192 normal images (8,154 train, 1,019 validate, 1,019 are tested) and 6,012 with
                        opacities, its "Pneumonia"
    radiography-covid   the same normal images and COVID-1143 to 3616, its "Covid-19": but RA tests these
                        against normal images of PadChest, like which they were taken, and whose list is not
                        published. Here a difference is that of the hospitals as much as of the disease.

Who is in which split is not published either: a permutation with a fixed seed decides. Nobody knows which
images are of one patient; 1,341 of the normal ones are of children. Images are divided by 255 and resized
with smoothing, as in RA's training; in its test they were not smoothed. Labels: 0 normal, 1 not.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import squares

FILE = re.compile(r"(?:.*/)?(?P<kind>Normal|Lung_Opacity|COVID)/images/(?P=kind)-(?P<number>\d+)\.png")
PNEUMONIA, COVID = ("Lung_Opacity", 1, 6012), ("COVID", 1143, 3616)
SPLITS = (8154, 1019, 1019)
SEED = 1333


@dataclass(frozen=True)
class Radiography(Dataset):
    """One of the two; `ill` is a class with its first and last number, `sizes` are those of the splits."""

    name: str
    ill: tuple[str, int, int]
    stands_for: str | None = None
    note: str = (
        "its publisher gives no checksums: the files are those of the user's SHA256SUMS; the split is our "
        "own, as the paper's is not published with it"
    )
    sizes: tuple[int, int, int] = SPLITS
    size: int = 128
    family = "radiography"
    task = "binary-class"
    has = of_three_splits()
    classes = 2
    licence = "of its publishers on Kaggle: for research, not to be passed on"

    @property
    def how_to_get(self) -> str:
        what = "the COVID-19 Radiography Database (kaggle.com, tawsifurrahman/covid19-radiography-database)"
        return supplied.how_to_get(self.family, what, "anomaly-data")

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        def chosen(names: Iterable[str]) -> list[str]:
            found = [(name, FILE.fullmatch(name)) for name in names]
            return [name for name, match in found if match and match["kind"] in self.kinds]

        return supplied.files_of((self.family, self.name), ["**/images/*.png"], chosen)

    @property
    def kinds(self) -> tuple[str, str]:
        return ("Normal", self.ill[0])

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (N, 1, size, size), one of each subject; ValueError for anything unexpected."""
        names = {
            (match["kind"], int(match["number"])): file.name
            for file in self.files
            if (match := FILE.fullmatch(file.name))
        }
        kind, first, last = self.ill
        normals = [("Normal", number) for number in range(1, sum(self.sizes) + 1)]
        wanted = normals + [(kind, number) for number in range(first, last + 1)]
        if missing := [each for each in wanted if each not in names]:
            found = f"no {missing[0][0]}-{missing[0][1]}.png, and {len(missing) - 1} more are missing"
            raise defect(f"{self.name}: files", f"{len(wanted):,} images", found, self.how_to_get)
        images = []
        for each in wanted:
            path = checked(self, names[each], raw_dir)
            image = squares.picture(path)
            squares.varied(image, path)
            images.append(squares.resized(squares.unit_range(image), self.size, smooth=True))
        order = np.random.default_rng(SEED).permutation(np.repeat(("train", "val", "test"), self.sizes))
        count, ill = len(wanted), len(wanted) - len(normals)
        return Slices(
            images=np.stack(images)[:, None],
            labels=np.repeat([0, 1], [len(normals), ill]).astype(np.int64),
            subject=np.array([f"{name}-{number}" for name, number in wanted]),
            slice=np.zeros(count, np.int32),
            split=np.concatenate([order, np.full(ill, "test")]),
            modality=np.full(count, "chest X-ray"),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


DATASETS = (
    Radiography("radiography", PNEUMONIA, stands_for="radiography"),
    Radiography(
        "radiography-covid",
        COVID,
        note="COVID-19 against normal images of other hospitals than PadChest's; the split is our own",
    ),
)
