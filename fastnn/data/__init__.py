"""What can be trained on: arrays, and their scaling."""

from fastnn.data.arrays import all_finite, as_data, as_samples, as_targets
from fastnn.data.labels import Classes, as_classes
from fastnn.data.scaling import Standardizer
from fastnn.data.targets import Given, as_given, as_validation_data, scale_of
from fastnn.data.weights import ClassWeight, with_weights

__all__ = [
    "ClassWeight",
    "Classes",
    "Given",
    "Standardizer",
    "all_finite",
    "as_classes",
    "as_data",
    "as_given",
    "as_samples",
    "as_targets",
    "as_validation_data",
    "scale_of",
    "with_weights",
]
