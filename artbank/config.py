"""The parameters of the flows, for programs."""

from __future__ import annotations

from artbank.parameters.run_config import RunConfig
from artbank.parameters.stylize_config import AlarmLimits, StylizeConfig
from artbank.parameters.train_config import TrainConfig, WatchConfig

__all__ = ["AlarmLimits", "RunConfig", "StylizeConfig", "TrainConfig", "WatchConfig"]
