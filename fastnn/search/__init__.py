"""Many networks at once: layouts, learning rates, seeds and folds on one X."""

from fastnn.search.many import fit_many
from fastnn.search.table import Search

__all__ = ["Search", "fit_many"]
