"""What can be trained on: arrays as they are stored, windows in time, blocks of files, streams; the scale of inputs.

`Blocks`, `ReadError`, `Scaler`, `Stream`, `Table`, `Windows` and `split_time` are for users.
"""

from fastnn.data.arrays import all_finite, as_data, as_samples, as_targets
from fastnn.data.blocks import Blocks, in_blocks
from fastnn.data.feeds import Feed, ReadError, check_in_memory, feed_of, read_windows
from fastnn.data.labels import Classes, as_classes
from fastnn.data.scaling import Scaler, Standardizer, scaler_of, smooth_clip
from fastnn.data.sparse import is_sparse
from fastnn.data.streams import Stream, learn_classes
from fastnn.data.tables import Table
from fastnn.data.targets import Given, as_given, as_validation_data, scale_of
from fastnn.data.weights import ClassWeight, with_weights
from fastnn.data.windows import Windows, split_time

__all__ = [
    "Blocks",
    "ClassWeight",
    "Classes",
    "Feed",
    "Given",
    "ReadError",
    "Scaler",
    "Standardizer",
    "Stream",
    "Table",
    "Windows",
    "all_finite",
    "as_classes",
    "as_data",
    "as_given",
    "as_samples",
    "as_targets",
    "as_validation_data",
    "check_in_memory",
    "feed_of",
    "in_blocks",
    "is_sparse",
    "learn_classes",
    "read_windows",
    "scale_of",
    "scaler_of",
    "smooth_clip",
    "split_time",
    "with_weights",
]
