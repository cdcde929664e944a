"""The types that the drivers' annotations name; to Numba they are all the same."""

from __future__ import annotations

from typing import Any

Job = Any  # the struct, whose fields are attributes
Reals = Any  # a pointer to numbers of the network's type
Given = Any  # the same, where a primitive only reads
Numbers = Any  # a pointer to float64
Integers = Any  # a pointer to int64
Real = Any  # a number of the network's type
