"""What a collection takes of a study: data sets, their folds and labelled parts, seeds, changes."""

from itertools import chain, product
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from latent_anatomy.data import cohorts, names, pool

Value = TypeVar("Value")
Name = Annotated[str, AfterValidator(names.checked)]
Once = Annotated[list[Value], AfterValidator(names.once)]
# A list; on the command line also words with commas between them. None: all.
Names = Annotated[
    Once[Name] | None, BeforeValidator(lambda given: given.split(",") if isinstance(given, str) else given)
]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as numpy's generators take it
Fold = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Change(Strict):
    """Other parameters, settings of protocols or seeds, for some runs on some data sets, by default all.

    A data set's name stands for all of its cohorts too. Of several changes the last decides. What was asked
    of some `test_subjects` alone is not compared with other runs: nothing follows from it.
    """

    runs: Once[Name] | None = None
    datasets: Once[Name] | None = None
    params: dict[str, object] = {}
    evaluation: dict[str, dict] = {}
    seeds: Once[Seed] | None = Field(None, min_length=1)
    test_subjects: int | None = Field(
        None, ge=1, description="How many, evenly spaced, evaluation is on; none: all."
    )

    def concerns(self, run: str, dataset: str) -> bool:
        """Whether it is about this run on this data set."""
        names = {dataset, cohorts.dataset_of(dataset)}
        return (self.runs is None or run in self.runs) and (
            self.datasets is None or not names.isdisjoint(self.datasets)
        )


class External(Strict):
    """A data set on whose test split the models are evaluated that were trained on another."""

    dataset: Name
    trained_on: Name


class Sweep(Strict):
    """Cohorts that a study compares: every fold of each split of each data set, with each part labelled.

    `labelled` are per cent of the training subjects, or names that the data set gives a meaning of its own.
    `runs` are those that are made there, any of `methods`; without them, the study's own.
    """

    datasets: Once[Name]
    splits: Once[Name]
    folds: Once[Fold]
    labelled: Once[float | int | Name]
    runs: Once[Name] | None = None

    @property
    def cohorts(self) -> list[str]:
        """Names, folds apart."""
        return [cohorts.name_of(*parts) for parts in product(self.datasets, self.splits, self.labelled)]


class Chosen(Strict):
    """Data sets (none: not built) and seeds of a study in a collection, and what they change.

    `datasets` are used as they are split, `sweeps` split others in several ways. `only` names what is made on
    some of `datasets`, any of `methods`, where it is not all of the study's runs. `evaluation` changes
    settings of the study's protocols; there, `datasets` names those of the study on which a protocol
    runs, cohorts included (all of them, where it does not).
    """

    datasets: Once[Name] = []
    sweeps: dict[Name, Sweep] = {}
    only: dict[Name, Once[Name]] = {}
    external: list[External] = []
    seeds: Once[Seed] = Field(min_length=1)
    changes: list[Change] = []
    evaluation: dict[str, dict] = {}

    @property
    def trained(self) -> list[str]:
        """Data sets and cohorts that methods are trained on, each once."""
        swept = (name for sweep in self.sweeps.values() for name in sweep.cohorts)
        return list(dict.fromkeys((*self.datasets, *swept)))

    @property
    def tested(self) -> dict[str, str]:
        """Every data set and cohort that methods are evaluated on, and the one that they were trained on."""
        return {name: name for name in self.trained} | {
            each.dataset: each.trained_on for each in self.external
        }

    @property
    def sources(self) -> list[str]:
        """The data sets of which all this is made."""
        return list(dict.fromkeys(map(cohorts.dataset_of, self.tested)))

    def runs(self, name: str, runs: list[str]) -> list[str]:
        """What is made on a data set or cohort: a study's own `runs`, unless `only` or sweeps choose."""
        if (place := self.tested.get(name, name)) in self.only:
            return self.only[place]
        chosen = [runs if sweep.runs is None else sweep.runs for sweep in self._sweeps_of(name)]
        if name in self.datasets or not chosen:
            return runs
        return list(dict.fromkeys(chain.from_iterable(chosen)))

    def folds(self, name: str) -> list[int | None]:
        """Those of a cohort; None alone for a data set that is used as it is split."""
        return list(dict.fromkeys(chain.from_iterable(sweep.folds for sweep in self._sweeps_of(name)))) or [
            None
        ]

    def seeds_of(self, name: str, run: str) -> list[int]:
        """The seeds of a run on a data set or cohort."""
        changed = [each.seeds for each in self.changes if each.seeds and each.concerns(run, name)]
        return [self.seeds, *changed][-1]

    def replicates(self, name: str, run: str) -> list[cohorts.Replicate]:
        """Every fold of a data set or cohort with every seed of a run."""
        return [
            cohorts.Replicate(seed, fold)
            for fold, seed in product(self.folds(name), self.seeds_of(name, run))
        ]

    def _sweeps_of(self, name: str) -> list[Sweep]:
        return [sweep for sweep in self.sweeps.values() if name in sweep.cohorts]


class Study(Strict):
    """A paper: the runs that it compares and how they are evaluated."""

    runs: Once[Name] = Field(min_length=1)
    evaluation: dict[str, dict]


class Collection(Strict):
    """What is built together: the data sets of all its studies, those of images and those of volumes.

    `runs` and `protocols` are those that are made of its studies, by default all: one method may be tried.
    """

    images: list[str] = Field(default_factory=list)
    volumes: list[str] = Field(default_factory=list)
    runs: Names = None
    protocols: Names = None
    studies: dict[Name, Chosen]

    @property
    def datasets(self) -> list[str]:
        """All data sets that are listed; pools are named by those who use them."""
        return [*self.images, *self.volumes]

    @property
    def pools(self) -> list[str]:
        """Those of the data sets of its studies that are made of others."""
        sources = dict.fromkeys(chain.from_iterable(chosen.sources for chosen in self.studies.values()))
        return [name for name in sources if pool.SEPARATOR in name]
