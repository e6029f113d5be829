"""The answers of `determinism.run` as text."""

import math

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.determinism.trace import Comparison, Difference
from latent_anatomy.statistics.variance_components import Components


def same_seed_text(same: Comparison, other: Comparison | None, conditions: dict) -> str:
    """Under which conditions, whether bit-identical, and where and by how much not.

    `conditions`: epochs trained and in params.yaml, whole (or stopped after some steps), threads,
    other_threads, with which `other` was trained.
    """
    epochs, full = conditions["epochs"], conditions["epochs_in_params"]
    shortened = [f"{epochs} epochs"] if epochs == full else [f"shortened to {epochs} of {full} epochs"]
    if not conditions["whole"]:
        shortened.append(f"stopped after {same.steps[0]} steps")
    lines = [f"{', '.join(shortened)}; torch's threads: {conditions['threads']}", ""]
    lines += [f"Same seed twice, in two processes: {_verdict(same)}", *_table(same)]
    if other is not None:
        verdict = f"Same seed with {conditions['other_threads']} threads instead: {_verdict(other)}"
        lines += ["", verdict, *_table(other)]
    return "\n".join(lines)


def _verdict(comparison: Comparison) -> str:
    if comparison.identical:
        epochs = (
            f", {len(comparison.validation)} validation value(s) after each epoch"
            if comparison.validation
            else ""
        )
        return (
            f"BIT-IDENTICAL\n{len(comparison.tensors)} tensors and {len(comparison.losses)} loss(es) "
            f"after each of {comparison.steps[0]} steps{epochs}"
        )
    steps = [
        part.first for part in (comparison.losses | comparison.tensors).values() if part.first is not None
    ]
    counts = [
        f"{sum(not part.same for part in parts.values())} of {len(parts)} {what}"
        for parts, what in (
            (comparison.tensors, "tensors"),
            (comparison.losses, "losses"),
            (comparison.validation, "validation values"),
        )
        if parts
    ]
    place = f"from step {min(steps)} on" if steps else "in validation alone"
    lengths = (
        ""
        if comparison.steps[0] == comparison.steps[1]
        else f"; {comparison.steps[0]} and {comparison.steps[1]} steps"
    )
    return f"DIFFERENT, {place}\n{', '.join(counts)}{lengths}"


def _table(comparison: Comparison) -> list[str]:
    """A line for each thing that differs, in the order in which they part, and validation at the end."""
    trained = {f"loss {name}": part for name, part in comparison.losses.items()} | comparison.tensors
    lines = sorted(_differing(trained), key=lambda each: each[1].first or math.inf)
    lines += _differing(
        {f"validation {name} (by epoch)": part for name, part in comparison.validation.items()}
    )
    if not lines:
        return []
    width = max(len(name) for name, _ in lines)
    table = [f"{'':{width}}  {'first step':>10}  {'largest |a-b|':>13}  {'relative':>9}  {'float32 ULP':>11}"]
    for name, part in lines:
        first = "-" if part.first is None else part.first
        ulp = "-" if part.ulp is None else part.ulp
        table.append(f"{name:{width}}  {first:>10}  {part.absolute:13.3g}  {part.relative:9.2g}  {ulp:>11}")
    return table


def _differing(parts: dict[str, Difference]) -> list[tuple[str, Difference]]:
    return [(name, part) for name, part in parts.items() if not part.same]


def variance_text(
    metric: str, seeds: list[int], values: NDArray[np.float64], parts: Components, deterministic: bool
) -> str:
    """The results (seeds, splits) and their variance components."""
    splits = [f"split {column + 1}" for column in range(values.shape[1])]
    lines = ["", f"{metric} of held-out images, {len(seeds)} seeds x {len(splits)} splits, each trained once"]
    lines.append(f"{'':8}" + "".join(f"{split:>11}" for split in splits))
    for seed, row in zip(seeds, values, strict=True):
        lines.append(f"{f'seed {seed}':8}" + "".join(f"{value:11.4f}" for value in row))
    deviation = math.sqrt(parts.total)
    lines += ["", f"mean {values.mean():.4f}, standard deviation of a single result {deviation:.4f}", ""]
    lines.append(f"{'':12}{'variance':>10}{'95 % interval':>24}{'deviation':>11}{'share':>8}")
    for label, part in (("seed", parts.seed), ("data split", parts.split), ("residual", parts.residual)):
        share = f"{part.variance / parts.total:.0%}" if parts.total else "-"
        interval = f"{part.low:.3g} to {part.high:.3g}"
        lines.append(
            f"{label:12}{part.variance:10.3g}{interval:>24}{math.sqrt(part.variance):11.3g}{share:>8}"
        )
    for label, part in (("seed", parts.seed), ("data split", parts.split)):
        if part.estimate < 0:
            lines.append(f"The estimate for {label} is {part.estimate:.3g}, shown as 0.")
    what = "interaction of seed and split" if deterministic else "their interaction and what does not repeat"
    return "\n".join([*lines, f"Residual: {what}."])
