"""What a protocol is, what it gives back, and by what two runs are compared.

A protocol is one question to a trained method: one module in `protocols`, whose file's name is its own. It
knows a method only by what that can do, and exports

    NEEDS      lines of capabilities (`registry.CAPABILITIES`), of which a method must have one whole line
    Params     its typed settings
    possible(splits) -> bool
               whether these data can answer; where they cannot, the evaluation says so and leaves it out
    evaluate(method, splits, settings, task, seed) -> Results
               method    nn.Module on its device; left in evaluation mode, otherwise unchanged
               splits    "train", "val", "test" -> training.method.Data on that device
               task      "binary-class", "multi-class" or "ordinal-regression" of the data set
               seed      int; of whatever is trained here (probes). What a method is asked (corruptions,
                         styles) depends on the test images alone: all methods and seeds are asked the same
    paired(arrays) -> {metric: Paired}
               by which of the arrays of `evaluate` two runs are compared: see `Paired`
    MASKS      masks without which no data can answer, asked at the plan: names or patterns ("*-ventricle"),
               each of one mask or more; absent where it needs none
    weights(settings)
               the downloads of others that it needs; `evaluate` is then given them as `files`, a mapping
               "<download>/<file>" -> path; absent where it needs none
    PLOTS      name of a table -> how `dvc plots` draws it, in DVC's words; absent where there are none
    UNPAIRED   pattern of names of arrays -> why runs are not compared by them; absent where there are none

Every array that a protocol leaves is a picture ("figure/..."), or named by a `Paired`, or by UNPAIRED.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from numpy.typing import NDArray


class Table(NamedTuple):
    """A small table of one series, for `dvc plots` and people: names of columns; rows of text and numbers."""

    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]]


class Results(NamedTuple):
    """What `evaluate` returns.

    metrics    "<protocol>/..." -> float
    arrays     name -> values per image, subject or patient; "figure/..." are pictures (n, C, H, W) uint8
    tables     name -> table; each becomes tables/<protocol>.<name>.csv
    """

    metrics: Mapping[str, float]
    arrays: Mapping[str, NDArray] = MappingProxyType({})
    tables: Mapping[str, Table] = MappingProxyType({})


def check(protocol: str, results: Results, paired: Mapping[str, "Paired"]) -> None:
    """ValueError for a metric that is no number, or is not named after its protocol."""
    for name in (*results.metrics, *paired):
        if not name.startswith(f"{protocol}/"):
            raise ValueError(
                f"evaluation/protocols/{protocol}.py: expected metrics named {protocol}/..., found {name!r}: "
                "rename it"
            )
    for metric, value in results.metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{metric}: expected a number, found {type(value).__name__}: return a float")


@dataclass(frozen=True)
class Paired:
    """The arrays by which two runs are compared under one metric, all by their names.

    arrays     (n,) float, of which a metric is the mean; or (n, classes) class scores. Several are conditions
               or thresholds, and count alike. A NaN, as where nobody has drawn a structure, means that this
               metric is not compared.
    subject    (n,) text: whose each entry is. "subject" are those of the test images, which every
               evaluation adds
    labels     (n,) int64, with class scores: these are compared by their AUC and their ACC
    t_test     whether Student's paired t-test stands beside the other p-value
    answers    how metrics begin for which these arrays answer where a run has none of its own
    """

    arrays: tuple[str, ...]
    subject: str = "subject"
    labels: str = ""
    t_test: bool = False
    answers: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All arrays that are needed."""
        return (*self.arrays, self.subject, *filter(None, [self.labels]))
