"""How `fastnn train` trains: its options, or a preset's in the place of those that were not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.losses import LOSSES, Loss, SoftmaxCrossEntropy
from fastnn.network import Network
from fastnn.optimizers import Adam
from fastnn.schedules import coslog4
from fastnn.stopping import EarlyStopping

_DEFAULTS: dict[str, Any] = {
    "hidden": (128,), "activation": ("sigmoid",), "epochs": 10, "batch_size": 100, "validation": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What ``Network`` and ``Network.fit`` explain has the same name there; None is the default, or the preset's."""

    hidden: Sequence[int] | None = None
    activation: Sequence[str] | None = None
    loss: str = "softmax_cross_entropy"
    optimizer: str = "adam"
    learning_rate: float | None = None
    batch_size: int | None = None  # 0: all samples
    epochs: int | None = None
    l2: float = 0.0
    l1: float = 0.0
    dropout: float = 0.0
    validation: float | None = None  # the share of the samples that is held out
    standardise: bool = True
    early_stopping: int | None = None  # epochs without an improvement
    class_weight: str | None = None
    preset: str | None = None
    dtype: str = "float32"
    seed: int = 1

    def __post_init__(self) -> None:
        """Check what can be checked before a file is read."""
        if self.class_weight is not None and not LOSSES[self.loss].classifies:
            raise ValueError(f"--class-weight is for classes; got --loss {self.loss}")
        if self.early_stopping is not None and self.validation == 0:
            raise ValueError("--early-stopping looks at the validation samples; got --validation 0")
        if self.preset is not None and (self.optimizer != "adam" or not self.standardise):
            raise ValueError(
                "--preset has an optimizer and a scale of its own: --optimizer and --no-standardise do not go"
            )

    @property
    def kind(self) -> str:
        """Of the estimator whose preset is taken."""
        return "classifier" if LOSSES[self.loss].classifies else "regressor"

    def completed(self) -> Settings:
        """Return the settings with values for all that was not given."""
        values = dict(_DEFAULTS)
        if self.preset is not None:
            preset = self._preset()
            values = {
                "hidden": preset["hidden_layer_sizes"],
                "activation": (preset["activation"],),
                "epochs": preset["max_iter"],
                "batch_size": preset["batch_size"],
                "validation": preset["validation_fraction"],
                "learning_rate": preset["learning_rate_init"],
            }
        return replace(self, **{name: value for name, value in values.items() if getattr(self, name) is None})

    def network(self, inputs: int, outputs: int, dtype: np.dtype[Any]) -> Network:
        """Return the network to train, of completed settings."""
        assert self.hidden is not None
        assert self.activation is not None
        sizes = (inputs, *self.hidden, outputs)
        activation = self.activation[0] if len(self.activation) == 1 else list(self.activation)
        loss: str | Loss = self.loss
        init: Any = "auto"
        if self.preset is not None:
            from fastnn.sklearn.presets import tangent_arrays

            if self.loss == SoftmaxCrossEntropy.name:
                loss = SoftmaxCrossEntropy(label_smoothing=self._preset()["label_smoothing"])
            init = tangent_arrays(sizes, np.random.RandomState(self.seed))
        return Network(sizes, activation, loss, dtype, self.seed, init, self.dropout)

    def fit_options(self, network: Network, validates: bool) -> dict[str, Any]:
        """Return what ``fit`` is given besides the data, of completed settings."""
        options: dict[str, Any] = {
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size or None,
            "epochs": self.epochs,
            "l2": self.l2,
            "l1": self.l1,
            "class_weight": self.class_weight,
            "scale_targets": self.standardise and network.architecture.loss.has_units,
        }
        if self.early_stopping is not None:
            options["early_stopping"] = EarlyStopping(self.early_stopping)
        if self.preset is not None:
            from fastnn.sklearn.presets import rate_factors

            preset = self._preset()
            rate = coslog4(options.pop("learning_rate"))
            options["optimizer"] = Adam(rate, preset["beta_1"], preset["beta_2"], preset["epsilon"])
            options["rate_factors"] = rate_factors(network.sizes)
            if validates:
                patience = self.early_stopping or max(1, self.epochs or 1)
                options["early_stopping"] = EarlyStopping(patience, monitor="score")
        return options

    def _preset(self) -> dict[str, Any]:
        from fastnn.sklearn.presets import PRESETS

        assert self.preset is not None
        return PRESETS[self.preset][self.kind]
