"""What a search found, as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn.network import Network
from fastnn.search.configurations import Candidate


class Search(Sequence[dict[str, Any]]):
    """What `fit_many` found: a record for each configuration, the one with the highest score first.

    Attributes
    ----------
    records : list of dict
        The keys in which the configurations differ, and score, loss, epochs, seconds, error.
    networks : list of list of Network, or None
        Of each record the networks, one a fold, if they were kept.
    interrupted : bool
        Whether Ctrl-C ended the search: configurations that were not trained to their end have no record.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> grid = {"hidden": [(8,), (32,)], "epochs": [2], "rng": [0]}
    >>> found = fastnn.fit_many(X, y, grid, validation_data=test, keep=True)
    >>> len(found), found[0]["hidden"], found.networks[0][0].sizes
    (2, (32,), (784, 32, 10))
    """

    def __init__(
        self, records: list[dict[str, Any]], networks: list[list[Network]] | None, interrupted: bool = False
    ) -> None:
        self.records, self.networks, self.interrupted = records, networks, interrupted

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        """Return a record, or some of them."""
        return self.records[index]

    def frame(self) -> Any:
        """Return the records as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.records)

    def __repr__(self) -> str:
        """Return the table in columns."""
        if not self.records:
            return "Search([])"
        names = [name for name in self.records[0] if name != "error" or any(r["error"] for r in self.records)]
        rows = [names, *([_shown(record[name]) for name in names] for record in self.records)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        from html import escape

        rows = [list(record) for record in self.records[:1]]
        rows += [[_shown(value) for value in record.values()] for record in self.records]
        lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        return f"<table>{''.join(lines)}</table>"


def as_search(candidates: list[Candidate], folds: int, keep: bool, interrupted: bool) -> Search:
    """Return the outcomes as a table, best first."""
    done = [each for each in candidates if len(each.outcomes) == folds]
    keys = list(dict.fromkeys(key for each in candidates for key in each.given))
    shown = [key for key in keys if len(candidates) == 1 or _differ(each.given.get(key) for each in candidates)]
    rows = [(_record(each, shown), each) for each in done]
    rows.sort(key=lambda row: (math.isnan(row[0]["score"]), -row[0]["score"]))
    networks = [[o.network for _, o in sorted(each.outcomes.items()) if o.network] for _, each in rows]
    return Search([record for record, _ in rows], networks if keep else None, interrupted)


def _record(candidate: Candidate, keys: list[str]) -> dict[str, Any]:
    outcomes = list(candidate.outcomes.values())
    errors = [outcome.error for outcome in outcomes if outcome.error]
    means = {name: float(np.mean([getattr(o, name) for o in outcomes])) for name in ("score", "loss", "epochs")}
    return {
        **{key: candidate.given.get(key) for key in keys},
        **means,
        "seconds": sum(outcome.seconds for outcome in outcomes),
        "error": errors[0] if errors else "",
    }


def _differ(values: Iterable[Any]) -> bool:
    return len(set(map(repr, values))) > 1


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
