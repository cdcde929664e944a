"""Benchmarks of fastnn against JAX, PyTorch and scikit-learn, timed in turns in one run.

``fastnn bench`` and ``python -m bench`` run ``main``. The flow: cells -> worker (one process for each trainer) ->
runner (timing) -> results (JSON) -> table and plots.
"""

from fastnn.bench.cli import main

__all__ = ["main"]
