"""What decides a claim on one data set: a comparison of two runs, a range, a bound."""

from dataclasses import dataclass

from latent_anatomy.statistics.trainings import LEAST

LEVEL = 0.05  # after Holm's correction over all comparisons that decide the claims of one paper


@dataclass(frozen=True)
class Comparison:
    """`greater` of a claim minus one of its opponents, on one data set.

    `p` and `interval` are those over trainings and subjects (see `statistics.trainings`), or None where there
    are too few trainings to decide anything. `p` is adjusted by `decide`.
    """

    opponent: str
    difference: float
    interval: tuple[float, float] | None = None
    p: float | None = None

    @property
    def held(self) -> bool:
        return self.difference > 0 and self.decided and self.p < LEVEL

    @property
    def decided(self) -> bool:
        return self.p is not None

    def __str__(self) -> str:
        text = f"{self.difference:+.4f} over {self.opponent}"
        if not self.decided:
            return text
        return f"{text} [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}], p {self.p:.4f} after Holm"


@dataclass(frozen=True)
class Range:
    """Largest minus smallest value of a claim that something is constant, on one data set."""

    width: float
    within: float
    conditions: int
    trainings: int

    @property
    def held(self) -> bool:
        return self.decided and self.width <= self.within

    @property
    def decided(self) -> bool:
        return self.trainings >= LEAST

    def __str__(self) -> str:
        return f"range {self.width:.4f} over {self.conditions} conditions, bound {self.within:g}"


@dataclass(frozen=True)
class Beyond:
    """The mean of a run's metric, with its interval over trainings, and the bound it is to lie beyond."""

    run: str
    mean: float
    low: float
    high: float
    above: float | None
    below: float | None
    trainings: int

    @property
    def held(self) -> bool:
        beyond = self.high < self.below if self.above is None else self.low > self.above
        return self.decided and beyond

    @property
    def decided(self) -> bool:
        return self.trainings >= LEAST

    def __str__(self) -> str:
        bound = f"below {self.below:g}" if self.above is None else f"above {self.above:g}"
        interval = f" [{self.low:.4f}, {self.high:.4f}]" if self.trainings > 1 else ""
        return f"{self.run} {self.mean:.4f}{interval}, to be {bound}"
