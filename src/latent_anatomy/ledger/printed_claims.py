"""Sentences of a paper that numbers can decide: what papers/<study>.yaml says of them."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from latent_anatomy.data.cohorts import SEPARATOR, labelled_of


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Term(Strict):
    """A metric of a run, on the data set that is looked at or on that cohort with another part labelled."""

    run: str
    metric: str
    labelled: str = ""

    def on(self, dataset: str) -> str:
        """The data set or cohort on which it is measured.

        >>> Term(run="sdnet", metric="m", labelled="100").on("acdc.published.1.5")
        'acdc.published.100'
        """
        if not self.labelled:
            return dataset
        return dataset.removesuffix(labelled_of(dataset)).rstrip(SEPARATOR) + SEPARATOR + self.labelled


class Constant(Strict):
    """All metrics that match, `*` within one step of the key, lie within a range of `within` (their unit).

    Of one run, or the same metric of several.
    """

    run: str = ""
    runs: list[str] = []
    metric: str
    within: float = Field(gt=0)

    @property
    def terms(self) -> list[Term]:
        return [Term(run=run, metric=self.metric) for run in (self.runs or [self.run])]


class Bound(Strict):
    """A metric of each of some runs lies above, or below, a number."""

    runs: list[str] = Field(min_length=1)
    metric: str
    above: float | None = None
    below: float | None = None

    @property
    def terms(self) -> list[Term]:
        return [Term(run=run, metric=self.metric) for run in self.runs]


class Claim(Strict):
    """A sentence of the paper that numbers can decide, data set by data set."""

    claim: str
    text: str
    holds: list[str] = Field(description="Data sets on which the paper's own numbers bear it out.")
    fails: list[str] = Field([], description="Data sets on which they do not.")
    note: str = ""
    greater: Term | None = None
    than: list[Term] = []
    constant: Constant | None = None
    bound: Bound | None = None

    @model_validator(mode="after")
    def _is_decidable(self) -> "Claim":
        forms = [each is not None for each in (self.greater, self.constant, self.bound)]
        if sum(forms) != 1 or (self.greater is not None) != bool(self.than):
            raise ValueError(
                f"{self.claim}: expected either greater and than, or constant, or bound, found "
                "another choice: keep one"
            )
        if self.constant and bool(self.constant.run) == bool(self.constant.runs):
            raise ValueError(
                f"{self.claim}: constant: expected either run or runs, found both or neither: keep one"
            )
        if self.bound and (self.bound.above is None) == (self.bound.below is None):
            raise ValueError(
                f"{self.claim}: bound: expected either above or below, found both or neither: keep one"
            )
        if not self.holds or set(self.holds) & set(self.fails):
            raise ValueError(
                f"{self.claim}: expected each data set once, under holds or under fails, found one "
                "twice: keep one"
            )
        return self

    @property
    def datasets(self) -> list[str]:
        """The paper's data sets on which the claim is checked."""
        return [*self.holds, *self.fails]

    @property
    def terms(self) -> list[Term]:
        """Every metric that the claim needs."""
        if self.greater:
            return [self.greater, *self.than]
        return (self.constant or self.bound).terms

    @property
    def printed(self) -> str:
        """On how many of the data sets the paper's own numbers bear the claim out, such as "4/5"."""
        return f"{len(self.holds)}/{len(self.datasets)}"
