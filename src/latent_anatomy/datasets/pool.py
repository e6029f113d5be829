"""Several data sets as one to train and to test on: `<data set>__<data set>`, such as ixi__fastmri.

Its slices are those of its members (see `data.pool`), which are fetched and prepared each by itself.
"""

from dataclasses import dataclass

from latent_anatomy.data.dataset import Dataset, Volumes
from latent_anatomy.data.pool import SEPARATOR


@dataclass(frozen=True)
class Pool:
    """The data set of all `members`: phantoms or real data sets, two or more, each once.

    Raises ValueError for others.
    """

    members: tuple[Dataset | Volumes, ...]
    family: str = "pool"
    stands_for: None = None
    note: str = ""
    files: tuple[()] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"data set: expected each member of a pool once, found {self.name!r}")
        if len({member.phantom for member in self.members}) > 1:
            raise ValueError(
                f"data set: expected a pool of phantoms or of real data sets, found {self.name!r}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    @property
    def name(self) -> str:
        return SEPARATOR.join(self.names)

    @property
    def phantom(self) -> bool:
        return self.members[0].phantom

    @property
    def licence(self) -> str:
        return ", ".join(dict.fromkeys(member.licence for member in self.members))

    @property
    def how_to_get(self) -> str:
        return "; ".join(dict.fromkeys(member.how_to_get for member in self.members))
