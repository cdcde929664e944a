"""What can be trained on: arrays as they are stored, windows in time; the scale of inputs, and splits.

`Scaler`, `Windows` and `split_time` are for users.
"""

from fastnn.data.arrays import all_finite, as_data, as_samples, as_targets
from fastnn.data.labels import Classes, as_classes
from fastnn.data.scaling import Scaler, Standardizer, scaler_of
from fastnn.data.targets import Given, as_given, as_validation_data, scale_of
from fastnn.data.weights import ClassWeight, with_weights
from fastnn.data.windows import Windows, split_time

__all__ = [
    "ClassWeight",
    "Classes",
    "Given",
    "Scaler",
    "Standardizer",
    "Windows",
    "all_finite",
    "as_classes",
    "as_data",
    "as_given",
    "as_samples",
    "as_targets",
    "as_validation_data",
    "scale_of",
    "scaler_of",
    "split_time",
    "with_weights",
]
