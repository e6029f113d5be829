"""Records what neuroCombat 0.2.12 (MIT) makes of a small table, for tests/test_harmonisers.py.

pip install neuroCombat==0.2.12 pandas
python tests/oracle/record_neurocombat.py

It writes neurocombat_0_2_12.npz beside itself: latents (36, 5), setting (36,) and the adjusted latents.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from neuroCombat import neuroCombat

random = np.random.default_rng(7)
setting = np.repeat([0, 1, 2], (9, 12, 15))
latents = random.standard_normal((36, 5)) @ random.standard_normal((5, 5))
latents = latents * np.array([1, 1.6, 0.7])[setting][:, None] + random.standard_normal((3, 5))[setting]
latents = np.round(latents + np.arange(5), 3)
adjusted = neuroCombat(dat=latents.T, covars=pd.DataFrame({"batch": setting}), batch_col="batch")["data"].T
path = Path(__file__).with_name("neurocombat_0_2_12.npz")
np.savez(path, latents=latents, setting=setting, adjusted=adjusted)
