"""scikit-learn's multilayer perceptrons on fastnn's kernels: change the import, the rest stays (the extra ``sklearn``).

`MLPClassifier` and `MLPRegressor` have the parameters, methods and attributes of ``sklearn.neural_network``'s. The same
``random_state`` gives the same initial weights, validation rows and orders, and so the same network to rounding.
``preset="tabular"`` is a recipe for tables that needs no tuning.

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from fastnn.sklearn import MLPClassifier
>>> X, y = load_iris(return_X_y=True)
>>> model = MLPClassifier(max_iter=1000, random_state=0).fit(X, y)
>>> model.score(X, y) > 0.95
True
"""

try:
    import sklearn as _sklearn
except ModuleNotFoundError as error:
    raise ImportError("fastnn.sklearn needs scikit-learn: pip install fastnn-cpu[sklearn]", name="sklearn") from error

if tuple(map(int, _sklearn.__version__.split(".")[:2])) < (1, 6):
    raise ImportError(f"fastnn.sklearn needs scikit-learn 1.6 or newer; found {_sklearn.__version__}", name="sklearn")

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
