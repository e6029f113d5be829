"""Records ridge Cox regression and concordance by lifelines 0.30.3 (MIT), for test_clustering_survival.py.

pip install lifelines==0.30.3
python tests/oracle/record_lifelines.py

It writes lifelines_0_30_3.npz beside itself: time, event (50,), covariates (50, 3) with mean 0 and standard
deviation 1 (n - 1); for each of `ridges` the coefficients (3,), the penalty being ridge / n of the mean log
likelihood; risk (50,), with ties, and its concordance. No two times are the same, where Breslow's and Efron's
ways with ties agree.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index

random = np.random.default_rng(5)
covariates = random.standard_normal((50, 3)) @ random.standard_normal((3, 3))
covariates = (covariates - covariates.mean(0)) / covariates.std(0, ddof=1)
days = random.exponential(900 * np.exp(-covariates @ np.array([0.8, -0.5, 0.0])))
last = random.uniform(200, 2000, 50)
time, event = np.round(np.minimum(days, last), 3), (days <= last).astype(np.uint8)
assert len(set(time)) == 50
ridges = np.array([0.1, 1.0, 10.0])
table = pd.DataFrame(covariates, columns=list("abc")).assign(time=time, event=event)
coefficients = [
    CoxPHFitter(penalizer=ridge / len(time))
    .fit(table, "time", "event", fit_options={"precision": 1e-10})
    .params_.to_numpy()
    for ridge in ridges
]
risk = np.round(covariates @ coefficients[1], 1)
path = Path(__file__).with_name("lifelines_0_30_3.npz")
concordance = concordance_index(time, -risk, event)
np.savez(
    path, time=time, event=event, covariates=covariates, ridges=ridges,
    coefficients=coefficients, risk=risk, concordance=concordance,
)  # fmt: skip
