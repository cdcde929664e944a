"""
A table with categories and missing values
==========================================

Cells that were recorded, with what was measured of each: numbers, of which some are missing, and categories. Which
cells are interneurons? **The table is synthetic.** ``preset="tabular"`` takes it as it is.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from fastnn.plotting import BLUE, GREEN, ORANGE
from fastnn.sklearn import MLPClassifier
from fastnn.sklearn.preprocessing import TabularPreprocessor

# %%
# The table
# ---------

rng = np.random.default_rng(0)
m = 1200
cells = pd.DataFrame(
    {
        "width of spikes, ms": rng.gamma(8, 0.06, m),
        "rate, 1/s": rng.lognormal(1, 0.8, m),
        "resistance, MOhm": rng.lognormal(5, 0.4, m),
        "depth, um": rng.uniform(100, 1200, m),
        "region": pd.Categorical(rng.choice(["M1", "S1", "V1", "CA1"], m, p=[0.4, 0.3, 0.2, 0.1])),
        "method": pd.Categorical(rng.choice(["patch", "silicon probe"], m)),
    }
)
narrow = 0.48 - cells["width of spikes, ms"] + np.where(cells["region"] == "CA1", 0.15, 0)
fast = np.log(cells["rate, 1/s"]) - 1
evidence = 14 * narrow + 2 * fast * np.where(cells["method"] == "patch", 1, -0.5) + np.sin(cells["depth, um"] / 150)
kinds = np.where(evidence + rng.logistic(0, 0.5, m) > 0, "interneuron", "pyramidal")
for column in ("rate, 1/s", "resistance, MOhm", "region"):
    cells.loc[rng.random(m) < 0.15, column] = np.nan
print(cells.head().to_string())
X, X_test, y, y_test = train_test_split(cells, kinds, test_size=0.4, stratify=kinds, random_state=0)

# %%
# Three models
# ------------
# Trees take categories and gaps by themselves; logistic regression takes what `TabularPreprocessor` makes of them:
# numbers scaled and clipped, categories one column each, gaps marked.

models = {
    "fastnn, preset": MLPClassifier(preset="tabular", max_iter=128, random_state=0),
    "boosted trees": HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0),
    "logistic regression": make_pipeline(TabularPreprocessor(), LogisticRegression()),
}
scores = {name: model.fit(X, y).score(X_test, y_test) for name, model in models.items()}
for name, score in scores.items():
    print(f"{name:20} accuracy {score:.3f}")

# %%
# The comparison
# --------------

figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()), color=[BLUE, GREEN, ORANGE])
ax.bar_label(bars, fmt="%.3f", padding=3)
chance = max(np.mean(y_test == kind) for kind in set(kinds))
ax.axvline(chance, color="black", linestyle="--", label="the more frequent kind")
ax.set(xlabel="accuracy on cells held out", xlim=(0.4, 1))
ax.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
ax.invert_yaxis()
plt.show()
