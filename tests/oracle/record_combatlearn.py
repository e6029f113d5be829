"""Records what combatlearn 2.3.0 (MIT) makes of a small table and of new rows, for tests/test_harmonisers.py.

pip install combatlearn==2.3.0 --no-deps; pip install numpy pandas scikit-learn
python tests/oracle/record_combatlearn.py

It writes combatlearn_2_3_0.npz beside itself: latents (60, 5) and setting (60,), of which the first 40 rows
are fitted, and all rows adjusted ("fortin"). Two things its results show: it learns what it believes of a
feature from the settings, where Johnson et al. and neuroCombat learn it of a setting from the features; and
its CovBat ("chen") gives adjusted components the variance 1 in place of their own, so is not recorded.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from combatlearn import ComBat

FITTED = 40
random = np.random.default_rng(11)
setting = random.permutation(np.arange(60) % 3)
latents = random.standard_normal((60, 5)) @ random.standard_normal((5, 5))
latents = latents * np.array([1, 1.6, 0.7])[setting][:, None] + random.standard_normal((3, 5))[setting]
latents = np.round(latents + np.arange(5), 3)
rows, batch = pd.DataFrame(latents), pd.Series(setting).map({0: "a", 1: "b", 2: "c"})
adjusted = np.asarray(ComBat(batch, method="fortin").fit(rows[:FITTED]).transform(rows))
path = Path(__file__).with_name("combatlearn_2_3_0.npz")
np.savez(path, latents=latents, setting=setting, fitted=FITTED, adjusted=adjusted)
