"""Tables as networks take them: numbers scaled and smoothly clipped, categories one-hot, missing values marked."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from fastnn.data import smooth_clip

Mask = npt.NDArray[np.bool_]
_CATEGORICAL = re.compile(r"categor|enum|object|string|str\b|utf8|bool", re.IGNORECASE)  # names of dtypes


class NumberColumns(NamedTuple):
    """What becomes of the columns of numbers; all arrays are in float64 but the places.

    Attributes
    ----------
    places : list of int
        Of these columns in the table.
    center, factor : ndarray
        Of each: x becomes s / sqrt(1 + (s / 3)^2) of s = (x - center) factor, and 0 where it is missing.
    marked : list of int
        Which of these columns have a further one, 1 where they are missing; these follow the numbers.
    """

    places: list[int]
    center: npt.NDArray[np.float64]
    factor: npt.NDArray[np.float64]
    marked: list[int]


class CategoryColumn(NamedTuple):
    """What becomes of a column of categories: a column for each of ``values``, 1 where it is that.

    Attributes
    ----------
    place : int
        In the table.
    values : list
        The categories, without missing ones.
    signed : bool
        Whether there are two, which share a column: 1 for the first one, -1 for the second.
    """

    place: int
    values: list[Any]
    signed: bool


class TabularPreprocessor(TransformerMixin, BaseEstimator):
    """The preprocessing of RealMLP for tables of numbers and categories; all values that come out are small.

    A number becomes x / sqrt(1 + (x / 3)^2), in (-3, 3), of x minus the column's median, over its interquartile range;
    over half the range where that is 0, and a constant column becomes 0. A missing number becomes 0, the median, and
    columns where some are missing get a further one that marks them. A categorical column becomes a column a category,
    with 1 at the value's, or a single one with 1 and -1 where there are two. Missing and unknown categories are zeros.

    Parameters
    ----------
    categorical_features : "from_dtype", None or array_like, default "from_dtype"
        The categorical columns: by a mask, by indices, by names, or none of them. "from_dtype" finds them: in a data
        frame those of categories, strings, objects and booleans; in an array of strings or booleans all, and in one of
        objects those with a string or a boolean.
    dtype : {"float32", "float64"}
        Of what comes out.

    Attributes
    ----------
    is_categorical_ : ndarray of bool, (columns,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of data frames.

    References
    ----------
    Holzmüller, Grinsztajn, Steinwart: Better by default: strong pre-tuned MLPs and boosted trees on tabular data.
    NeurIPS 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.sklearn.preprocessing import TabularPreprocessor
    >>> table = np.array([["red", 1.0], ["blue", 2.0], ["red", None], ["green", 3.0]], dtype=object)
    >>> TabularPreprocessor().fit_transform(table).shape  # the number, where it is missing, three colours
    (4, 5)
    """

    def __init__(self, categorical_features: Any = "from_dtype", dtype: npt.DTypeLike = "float32") -> None:
        self.categorical_features = categorical_features
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> TabularPreprocessor:
        """Find medians, ranges and categories; ``y`` is not looked at."""
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64; got {self.dtype!r}")
        X = _as_table(X)
        validate_data(self, X, skip_check_array=True)
        self.is_categorical_ = find_categorical(X, self.categorical_features)
        missing = SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True, keep_empty_features=True)
        columns = [
            ("numbers", make_pipeline(_SmoothClippingScaler(), missing), ~self.is_categorical_),
            ("categories", _OneHotEncoder(), self.is_categorical_),
        ]
        self._columns = ColumnTransformer(columns, sparse_threshold=0, verbose_feature_names_out=False)
        self._columns.set_output(transform="default").fit(X)
        return self

    def transform(self, X: Any) -> npt.NDArray[Any]:
        """Return the table in numbers, without missing ones."""
        check_is_fitted(self)
        X = _as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        found: npt.NDArray[Any] = self._columns.transform(X).astype(self.dtype, copy=False)
        return found

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns that come out."""
        check_is_fitted(self)
        names: npt.NDArray[Any] = self._columns.get_feature_names_out(input_features)
        return names

    def steps(self) -> tuple[NumberColumns, list[CategoryColumn]]:
        """Return what `transform` does, as other libraries can be told: numbers come first, then categories."""
        check_is_fitted(self)
        numbers, places = NumberColumns([], np.empty(0), np.empty(0), []), np.flatnonzero(~self.is_categorical_)
        if len(places):
            scaler, imputer = self._columns.named_transformers_["numbers"]
            marked = imputer.indicator_.features_.tolist()
            numbers = NumberColumns(places.tolist(), scaler.center_, scaler.factor_, marked)
        places = np.flatnonzero(self.is_categorical_)
        known = self._columns.named_transformers_["categories"].known() if len(places) else []
        return numbers, [CategoryColumn(int(i), each, len(each) == 2) for i, each in zip(places, known, strict=True)]

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what can be transformed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def find_categorical(X: Any, categorical_features: Any) -> Mask:
    """Return which columns are categorical."""
    n_columns = X.shape[1]
    if categorical_features is None:
        return np.zeros(n_columns, dtype=bool)
    if isinstance(categorical_features, str):
        if categorical_features != "from_dtype":
            expected = "'from_dtype', None, a mask, indices or names of columns"
            raise ValueError(f"categorical_features must be {expected}; got {categorical_features!r}")
        return _categorical_by_dtype(X)
    given = np.asarray(categorical_features)
    if given.dtype.kind == "b":
        if given.shape != (n_columns,):
            raise ValueError(f"categorical_features is a mask of shape {given.shape}; X has {n_columns} columns")
        return given
    names: list[Any] = list(getattr(X, "columns", ()))
    known = range(n_columns) if given.dtype.kind in "iu" or given.size == 0 else names
    if unknown := [each for each in given.ravel().tolist() if each not in known]:
        found = f"columns 0 to {n_columns - 1}" if isinstance(known, range) else f"columns {names}"
        raise ValueError(f"categorical_features has {unknown[0]!r}; X has {found}{'' if names else ', without names'}")
    return np.isin(np.arange(n_columns), [known.index(each) for each in given.ravel().tolist()])


def _categorical_by_dtype(X: Any) -> Mask:
    if hasattr(X, "columns"):
        return np.array([_CATEGORICAL.match(str(dtype)) is not None for dtype in X.dtypes], dtype=bool)
    if X.dtype.kind == "O":
        return np.array([any(isinstance(value, str | bool | np.bool_) for value in column) for column in X.T])
    return np.full(X.shape[1], X.dtype.kind in "USTb")


def _as_table(X: Any) -> Any:
    """Return a data frame as it is, anything else as an array: lists as one of objects, which keeps numbers."""
    if hasattr(X, "columns"):
        return X
    return check_array(X, dtype=None if hasattr(X, "dtype") else object, ensure_all_finite=False)


class _SmoothClippingScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """x / sqrt(1 + (x / 3)^2) of x over the interquartile range, from the median; what is missing stays so."""

    def fit(self, X: Any, y: Any = None) -> _SmoothClippingScaler:
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        known = np.where(np.isnan(X).all(axis=0), 0.0, X)
        low, self.center_, high = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0)
        half = (np.nanmax(known, axis=0) - np.nanmin(known, axis=0)) / 2
        spread = np.where(high > low, high - low, half)
        self.factor_ = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return smooth_clip((X - self.center_) * self.factor_)


class _OneHotEncoder(TransformerMixin, BaseEstimator):
    """scikit-learn's without columns for missing values, and with one column, 1 and -1, for two categories."""

    def fit(self, X: Any, y: Any = None) -> _OneHotEncoder:
        self._encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).set_output(transform="default")
        self._encoder.fit(_with_nan(X))
        kept: list[int] = []
        minus: dict[int, int] = {}
        first = 0
        for categories in self._encoder.categories_:
            ours = [first + i for i, each in enumerate(categories) if not _is_missing(each)]
            if len(ours) == 2:
                minus[len(kept)] = ours.pop()
            kept += ours
            first += len(categories)
        self._kept, self._minus = kept, minus
        return self

    def known(self) -> list[list[Any]]:
        """Return the categories of each column, without missing ones."""
        return [[each for each in categories if not _is_missing(each)] for categories in self._encoder.categories_]

    def transform(self, X: Any) -> npt.NDArray[Any]:
        ones = self._encoder.transform(_with_nan(X))
        found: npt.NDArray[Any] = ones[:, self._kept]
        found[:, list(self._minus)] -= ones[:, list(self._minus.values())]
        return found

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        names: npt.NDArray[Any] = self._encoder.get_feature_names_out(input_features)[self._kept]
        return names


def _is_missing(category: Any) -> bool:
    """Return whether a category is None or NaN."""
    return category is None or category != category


def _with_nan(X: Any) -> Any:
    """Return pandas' data with NaN in place of its NA, which has no truth value and so cannot be sorted."""
    return X.astype(object).where(X.notna(), np.nan) if hasattr(X, "notna") else X
