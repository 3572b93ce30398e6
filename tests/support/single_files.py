"""Write a folder of a model as one file with the original code's names of tensors, the reverse of diffusers' loader."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]

_RESNET_OF_UNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_REST_OF_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION_OF_VAE = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_LAYER_OF_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def save_single_file(folder: Path, path: Path, *, marks: tuple[str, ...] = ()) -> Path:
    """Save a model as `path`, and its settings and tokenizers in a folder beside it.

    Args:
        folder: A model in diffusers' layout.
        path: Ends in `.safetensors`.
        marks: Names of further tensors without values.
    """
    is_sdxl = (folder / "text_encoder_2").is_dir()
    is_open_clip = json.loads((folder / "text_encoder/config.json").read_text())["hidden_act"] == "gelu"
    settings = json.loads((folder / "unet/config.json").read_text())
    tensors = {f"model.diffusion_model.{name}": value for name, value in _unet(folder, settings).items()}
    tensors |= {f"first_stage_model.{name}": value for name, value in _vae(folder).items()}
    first = _load(folder, "text_encoder")
    if is_open_clip and not is_sdxl:
        tensors |= {f"cond_stage_model.model.{name}": value for name, value in _open_clip(first).items()}
    else:
        prefix = "conditioner.embedders.0.transformer" if is_sdxl else "cond_stage_model.transformer"
        tensors |= {f"{prefix}.text_model.{name}": value for name, value in first.items()}
    if is_sdxl:
        second = _open_clip(_load(folder, "text_encoder_2"))
        tensors |= {f"conditioner.embedders.1.model.{name}": value for name, value in second.items()}
    tensors |= {name: torch.empty(0) for name in marks}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    weights = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(folder, path.with_suffix(""), ignore=weights)
    return path


def _load(folder: Path, part: str) -> Tensors:
    [path] = (folder / part).glob("*.safetensors")
    return {name.removeprefix("text_model."): value for name, value in load_file(path).items()}


def _rename(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = re.sub(rf"(^|\.){re.escape(ours)}\.", rf"\1{theirs}.", name)
    return name


def _unet(folder: Path, settings: dict[str, list[int]]) -> Tensors:
    per_level = int(str(settings["layers_per_block"])) + 1
    down_types = [str(kind) for kind in settings["down_block_types"]]
    up_types = [str(kind) for kind in settings["up_block_types"]]

    def place(name: str) -> str:
        if found := re.match(
            r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name
        ):
            way, level, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
            block = 1 + level * per_level + layer if way == "down" else level * per_level + layer
            if kind == "downsamplers":
                return f"input_blocks.{(level + 1) * per_level}.0.op.{rest.removeprefix('conv.')}"
            if kind == "upsamplers":
                own = 2 if up_types[level].startswith("CrossAttn") else 1
                return f"output_blocks.{(level + 1) * per_level - 1}.{own}.{rest}"
            side = "input" if way == "down" else "output"
            if kind == "attentions":
                return f"{side}_blocks.{block}.1.{rest}"
            return f"{side}_blocks.{block}.0.{_rename(rest, _RESNET_OF_UNET)}"
        if found := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
            if found[1] == "attentions":
                return f"middle_block.1.{found[3]}"
            return f"middle_block.{2 * int(found[2])}.{_rename(found[3], _RESNET_OF_UNET)}"
        return _rename(name, _REST_OF_UNET)

    assert len(down_types) == len(up_types)
    return {place(name): value for name, value in _load(folder, "unet").items()}


def _vae(folder: Path) -> Tensors:
    tensors = _load(folder, "vae")
    levels = 1 + max(int(found[1]) for name in tensors if (found := re.match(r"decoder\.up_blocks\.(\d+)", name)))

    def place(name: str) -> str:
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{levels - 1 - int(found[1])}.block", name)
        name = re.sub(
            r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{levels - 1 - int(found[1])}.upsample", name
        )
        name = re.sub(r"mid_block\.resnets\.(\d+)", lambda found: f"mid.block_{1 + int(found[1])}", name)
        return re.sub(
            r"mid_block\.attentions\.0\.(.*)", lambda found: f"mid.attn_1.{_rename(found[1], _ATTENTION_OF_VAE)}", name
        )

    placed = {place(name): value for name, value in tensors.items()}
    is_convolution = re.compile(r"mid\.attn_1\.(q|k|v|proj_out)\.weight$")
    return {name: value[:, :, None, None] if is_convolution.search(name) else value for name, value in placed.items()}


def _open_clip(tensors: Tensors) -> Tensors:
    placed: Tensors = {}
    for name, value in tensors.items():
        if name == "text_projection.weight":
            placed["text_projection"] = value.T
        elif name.startswith("encoder.layers."):
            if ".q_proj." in name:
                joined = torch.cat([tensors[name.replace(".q_proj.", f".{one}_proj.")] for one in "qkv"])
                kind = name.rpartition(".")[2]
                placed[_layer(name.split(".self_attn")[0]) + f".attn.in_proj_{kind}"] = joined
            elif ".k_proj." not in name and ".v_proj." not in name:
                placed[_rename(_layer(name), _LAYER_OF_OPEN_CLIP)] = value
        else:
            names = {
                "embeddings.token_embedding.weight": "token_embedding.weight",
                "embeddings.position_embedding.weight": "positional_embedding",
                "final_layer_norm.weight": "ln_final.weight",
                "final_layer_norm.bias": "ln_final.bias",
            }
            placed[names[name]] = value
    return placed


def _layer(name: str) -> str:
    return name.replace("encoder.layers.", "transformer.resblocks.")
