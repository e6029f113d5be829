"""When a printed number counts as reproduced; the rules are those of docs/ledger.md."""

from latent_anatomy.statistics.inference import t_interval

ROUNDING = 1e-9  # so that a difference of exactly the tolerance is within it


def judge(printed: float, values: list[float], tolerance: float, neutral: bool = False) -> tuple[str, str]:
    """Verdict, and a remark on how it came about, for our values (one per seed) of a printed number.

    `neutral`: a larger value is not better.
    """
    mean, low, high = t_interval(values)
    difference = mean - printed
    if abs(difference) <= tolerance + ROUNDING:
        return "reproduced", ""
    if low <= printed <= high:
        return "reproduced", f"by the interval alone: the difference exceeds the tolerance of {tolerance:g}"
    certain = difference > 0 if len(values) > 1 else difference > 2 * tolerance
    return ("better" if certain and not neutral else "not reproduced"), ""
