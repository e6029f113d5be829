"""The 100 patients of ACDC's training set, whatever files they come in: groups, splits, and who is labelled.

Bernard et al.: Deep learning techniques for automatic MRI cardiac multi-structures segmentation and
diagnosis: is the problem solved? IEEE Transactions on Medical Imaging 37 (2018). Twenty patients of a group.

    published-0, -1, -2   the splits of SDNet's code: 70 train, 15 validate, 15 are tested. They overlap: 40
                          different patients are tested; split 0 trains without DCM, split 2 tests NOR alone
    disjoint-0 .. -5      as large, with 14, 3 and 3 of every group, and nobody is tested twice. Who validates
                          one is tested in the next; ten patients, two of each group, are left over and
                          always train

The labelled patients of a published split are drawn as in SDNet's code: with seed 1, and with 10 for 1.5 % of
published-1. Those of disjoint-k are drawn with seed 1 + k: with one seed they would be much the same.
"""

import numpy as np

from latent_anatomy.data.cohorts import Cohort, draw
from latent_anatomy.data.slices import defect

# In the order in which planes are written; values of ACDC's label maps.
LABELS = {"myocardium": (2,), "left-ventricle": (3,), "right-ventricle": (1,)}
MASKS = tuple(LABELS)
MODALITY = "MR cine"
GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
PER_GROUP = 20
PATIENTS = tuple(f"patient{number:03d}" for number in range(1, 1 + len(GROUPS) * PER_GROUP))

# Numbers of the validation and test patients of the published splits; all others train, in their order.
PUBLISHED = {
    "published-0": (range(1, 16), range(16, 31)),
    "published-1": (
        (85, 13, 9, 74, 73, 68, 59, 79, 47, 80, 14, 95, 25, 92, 87),
        (54, 55, 99, 63, 91, 24, 51, 3, 64, 43, 61, 66, 96, 27, 76),
    ),
    "published-2": (range(47, 62), range(64, 79)),
}
TESTED = 3  # of each group in a disjoint fold
DISJOINT = tuple(f"disjoint-{fold}" for fold in range(PER_GROUP // TESTED))
FOLDS = (*PUBLISHED, *DISJOINT)
SHUFFLE_SEED = 2019

DRAW_SEED = 1
RELEASED_EXCEPTIONS = {("published-1", 1.5): 10}


def group(patient: str) -> str:
    """The group that a patient is in, by the order of ACDC's names."""
    return GROUPS[PATIENTS.index(patient) // PER_GROUP]


def cohort(fold: str, labelled: float) -> Cohort:
    """The patients of a fold, `labelled` per cent of the training patients; ValueError if that is nobody."""
    if fold not in FOLDS:
        raise defect("ACDC: fold", f"one of {', '.join(FOLDS)}", repr(fold), "choose one")
    val, test = _published(fold) if fold in PUBLISHED else _disjoint(DISJOINT.index(fold))
    train = tuple(patient for patient in PATIENTS if patient not in {*val, *test})
    if fold in PUBLISHED:
        seed = RELEASED_EXCEPTIONS.get((fold, labelled), DRAW_SEED)
    else:
        seed = DRAW_SEED + DISJOINT.index(fold)
    return Cohort(train, val, test, draw(train, labelled, seed))


def _published(fold: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    val, test = PUBLISHED[fold]
    return tuple(PATIENTS[number - 1] for number in val), tuple(PATIENTS[number - 1] for number in test)


def _disjoint(fold: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Validation and test patients: the groups in random orders, cut into pieces of the same length."""
    random = np.random.default_rng(SHUFFLE_SEED)
    shuffled = random.permuted(np.arange(len(PATIENTS)).reshape(len(GROUPS), PER_GROUP), axis=1)

    def piece(fold: int) -> tuple[str, ...]:
        numbers = shuffled[:, fold * TESTED : (fold + 1) * TESTED]
        return tuple(PATIENTS[number] for number in sorted(numbers.ravel()))

    return piece((fold + 1) % len(DISJOINT)), piece(fold)
