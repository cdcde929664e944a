"""The estimators that `fastnn bench tabular` compares, each fitted and scored in a process of its own.

The process may have another environment: it needs NumPy, scikit-learn and what the estimator is from.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

Sets = tuple[Any, Any, list[int], Any]  # X, y, columns of categories, rows of the test


def load(path: Path, split: int) -> Sets:
    """Read a set: numbers and codes of categories in one array, NaN where a number is missing."""
    with np.load(path) as content:
        numbers = content["X"].astype(np.float32)
        codes = content["X_cat"].astype(np.float32) if "X_cat" in content else numbers[:, :0]
        X = np.hstack([numbers, codes])
        return X, content["y"], list(range(numbers.shape[1], X.shape[1])), content[f"test{split}"]


def made_up(classifies: bool) -> Sets:
    """Return a small set, to load and compile on before anything is timed."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8)).astype(np.float32)
    sums = X[:, 0] * X[:, 1] + X[:, 2]
    return X, (np.digitize(sums, [-1, 1]) if classifies else sums), [], np.arange(100)


class Session:
    """A contestant in this process; its methods are the commands that the runner sends."""

    def __init__(self, name: str, threads: int) -> None:
        self.make, self.threads = CONTESTANTS[name], threads
        self.warm: set[bool] = set()
        warnings.simplefilter("ignore")  # such as scikit-learn's, that 200 epochs did not converge

    def fit(self, path: Path, split: int) -> dict[str, Any]:
        """Fit on the training rows of a split; return times in seconds and the scores of its test rows."""
        found = load(path, split)
        classifies = found[1].dtype.kind != "f"
        if classifies not in self.warm:
            self._measure(made_up(classifies), classifies)
            self.warm.add(classifies)
        return self._measure(found, classifies)

    def _measure(self, found: Sets, classifies: bool) -> dict[str, Any]:
        X, y, categories, test = found
        training = np.setdiff1d(np.arange(len(y)), test)
        model = self.make(classifies, categories, self.threads)
        start = time.perf_counter()
        model.fit(X[training], y[training])
        fitted = time.perf_counter()
        predicted = np.asarray(model.predict(X[test])).ravel()
        ended = time.perf_counter()
        return {
            "kind": "classification" if classifies else "regression",
            "rows": len(y),
            "columns": X.shape[1],
            "fit_seconds": fitted - start,
            "predict_seconds": ended - fitted,
            **(_accuracy if classifies else _errors)(y[test], predicted),
        }


def _accuracy(y: Any, predicted: Any) -> dict[str, float]:
    return {"score": float(np.mean(y == predicted))}


def _errors(y: Any, predicted: Any) -> dict[str, float]:
    squares = np.mean((y.astype(np.float64) - predicted) ** 2)
    return {"score": float(1 - squares / np.var(y, dtype=np.float64)), "rmse": float(np.sqrt(squares))}


def _scaled(network: Any, classifies: bool, categories: list[int]) -> Any:
    """Return a network behind what its users put there: scaled numbers, one-hot categories, scaled targets."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        remainder=make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
    )
    model = make_pipeline(columns, network)
    return model if classifies else TransformedTargetRegressor(model, transformer=StandardScaler())


def _sklearn(classifies: bool, categories: list[int], threads: int, **options: Any) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    return _scaled((MLPClassifier if classifies else MLPRegressor)(random_state=0, **options), classifies, categories)


def _sklearn_stopping(classifies: bool, categories: list[int], threads: int) -> Any:
    return _sklearn(classifies, categories, threads, early_stopping=True)


def _trees(classifies: bool, categories: list[int], threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    return kind(categorical_features=categories, random_state=0)


def _realmlp(classifies: bool, categories: list[int], threads: int) -> Any:
    from pytabkit import RealMLP_TD_S_Classifier, RealMLP_TD_S_Regressor

    kind = RealMLP_TD_S_Classifier if classifies else RealMLP_TD_S_Regressor
    return _Frames(kind(device="cpu", random_state=0, n_threads=threads), categories)


class _Frames:
    """Gives an estimator its categories as pandas has them."""

    def __init__(self, model: Any, categories: list[int]) -> None:
        self.model, self.categories = model, categories

    def _frame(self, X: Any) -> Any:
        import pandas as pd

        return pd.DataFrame(X).astype(dict.fromkeys(self.categories, "category")).rename(columns=str)

    def fit(self, X: Any, y: Any) -> None:
        self.model.fit(self._frame(X), y)

    def predict(self, X: Any) -> Any:
        return self.model.predict(self._frame(X))


def _fastnn(classifies: bool, threads: int, **options: Any) -> Any:
    import fastnn
    from fastnn.sklearn import MLPClassifier, MLPRegressor

    fastnn.set_num_threads(threads)
    return (MLPClassifier if classifies else MLPRegressor)(random_state=0, **options)


def _fastnn_tabular(classifies: bool, categories: list[int], threads: int) -> Any:
    return _fastnn(classifies, threads, preset="tabular", categorical_features=categories)


def _fastnn_defaults(classifies: bool, categories: list[int], threads: int) -> Any:
    return _scaled(_fastnn(classifies, threads), classifies, categories)


CONTESTANTS = {
    "fastnn-tabular": _fastnn_tabular,
    "realmlp": _realmlp,
    "trees": _trees,
    "fastnn": _fastnn_defaults,
    "sklearn": _sklearn,
    "sklearn-stopping": _sklearn_stopping,
}
