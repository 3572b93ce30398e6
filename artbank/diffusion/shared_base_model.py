"""The base model of a run, which all that runs in a process share."""

from __future__ import annotations

from artbank.credentials import redact
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.lora_files import LoraFile, fetch_loras
from artbank.diffusion.weights import MINI
from artbank.parameters.draw_config import DrawConfig
from artbank.parameters.run_config import Offload, RunConfig
from artbank.runtime.load_once import LoadOnce
from artbank.runtime.stages import show_stage


def load_base_model(config: RunConfig) -> BaseModel:
    """Return the base model of a run with its LoRAs; the process loads it once.

    Raises:
        BaseModelError: There is no such model or LoRA, or a part is missing.
        ConfigError: There is no such device.
        OSError: The store or the hub failed.
    """
    loras = fetch_loras(config.loras) if isinstance(config, DrawConfig) else ()  # anew: a file may have changed
    return _load_base_model(
        config.base_model,
        config.revision,
        config.offline,
        config.device,
        config.dtype,
        config.compiling,
        config.offload,
        loras,
    )


@LoadOnce
def _load_base_model(
    source: str,
    revision: str | None,
    is_offline: bool,
    device: str,
    dtype: str,
    compiling: str,
    offload: Offload,
    loras: tuple[LoraFile, ...],
) -> BaseModel:
    show_stage(f"loading {'the embedded model' if source == MINI else f'the base model {redact(source)}'}")
    return BaseModel.load(
        source,
        revision=revision,
        is_offline=is_offline,
        device=device,
        dtype=dtype,
        compiling=compiling,
        offload=offload,
        loras=loras,
    )
