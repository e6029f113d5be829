"""LGG FLAIR: what is known of a patient comes with each of the patient's slices."""

import numpy as np
import pytest

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.lgg_flair import CLINICAL, RIM, interior_of, known_of

TABLE = """patient,hospital,year,age,sex,grade,survival_days,died
a,DU,1996,67,M,3,,
b,HT,1997,44,F,2,1335,1
c,HT,2001,,,,1828,0
"""


def test_what_is_known_is_a_number_and_what_is_not_is_nan(tmp_path):
    path = tmp_path / CLINICAL
    path.write_text(TABLE, encoding="utf-8")
    columns = known_of(["b", "b", "a", "c"], path)
    assert columns["site"].tolist() == ["HT", "HT", "DU", "HT"]
    assert columns["time"].dtype == np.float32 and columns["event"].dtype == np.uint8
    np.testing.assert_array_equal(columns["time"], [1335, 1335, np.nan, 1828])
    assert columns["event"].tolist() == [1, 1, 0, 0]
    assert columns["covariate_names"] == ("age", "sex", "grade")
    expected = [[44, 0, 2], [44, 0, 2], [67, 1, 3], [np.nan, np.nan, np.nan]]
    np.testing.assert_array_equal(columns["covariates"], np.float32(expected))


def test_a_patient_or_a_column_that_is_not_in_the_table_is_named(tmp_path):
    path = tmp_path / CLINICAL
    path.write_text(TABLE, encoding="utf-8")
    with pytest.raises(ValueError, match=r"clinical\.csv: expected a row for every patient, found none of z"):
        known_of(["a", "z"], path)
    path.write_text(TABLE.replace("hospital", "place"), encoding="utf-8")
    with pytest.raises(ValueError, match="expected the columns age, died, grade, hospital"):
        known_of(["a"], path)


def test_its_table_is_a_registered_file():
    [table] = [file for file in datasets.find("lgg-flair").files if file.name == CLINICAL]
    assert table.algorithm == "sha256" and len(table.checksum) == 64


def test_the_interior_is_what_lies_further_from_all_that_is_no_head_than_the_rim():
    """By the distances of all pairs of pixels, of an ellipse with a hole."""
    rows, columns = np.mgrid[:72, :72]
    head = ((rows - 36) / 34) ** 2 + ((columns - 36) / 28) ** 2 < 1
    head[34:37, 30] = False
    inside, outside = np.argwhere(head), np.argwhere(~head)
    nearest = np.sqrt(((inside[:, None] - outside[None]) ** 2).sum(-1)).min(1)
    expected = np.zeros_like(head)
    expected[tuple(inside[nearest > RIM].T)] = True
    [found] = interior_of(head[None])
    assert np.array_equal(found, expected)
    assert found.any() and not (found & ~head).any()
