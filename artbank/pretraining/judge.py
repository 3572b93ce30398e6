"""An independent classifier of subjects and painters, which judges generated pictures.

It shares no weights, no training signal and no architecture with the CLIP model or the denoiser.

Shape legend: B batch, S side of a square picture, px.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from artbank.mini.drawing.painters import TRAINED
from artbank.mini.drawing.scenes import SUBJECTS

MANNERS: tuple[str, ...] = ("", *TRAINED)  # "" is a photograph
_FILE = "judge.safetensors"


class Judge(nn.Module):
    """A small convolutional network with one head for the subject and one for the painter."""

    def __init__(self, subjects: tuple[str, ...] = SUBJECTS, manners: tuple[str, ...] = MANNERS):
        super().__init__()
        self.subjects = subjects
        self.manners = manners
        widths = (3, 24, 48, 80, 112)
        blocks = [_block(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]
        self.trunk = nn.Sequential(*blocks)
        self.subject = nn.Linear(2 * widths[-1], len(subjects))
        self.manner = nn.Linear(2 * widths[-1], len(manners))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits over subjects and manners of images [B, 3, S, S], -1..1."""
        features = self.trunk(images)  # [B, 112, S / 16, S / 16]
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.subject(pooled), self.manner(pooled)

    @torch.no_grad()
    def name(self, images: Tensor) -> list[tuple[str, str]]:
        """Name subject and painter of each image [B, 3, S, S], -1..1; the painter of a photograph is ""."""
        subject, manner = self(images.to(next(self.parameters()).dtype))
        pairs = zip(subject.argmax(1).tolist(), manner.argmax(1).tolist(), strict=True)
        return [(self.subjects[s], self.manners[m]) for s, m in pairs]

    def save(self, folder: Path) -> None:
        """Write weights (fp16) and class names to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        names = {"subjects": json.dumps(self.subjects), "manners": json.dumps(self.manners)}
        save_file(tensors, folder / _FILE, metadata=names)
        (folder / "classes.json").write_text(json.dumps({k: json.loads(v) for k, v in names.items()}, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Read the judge from `folder`, fp32, ready to classify."""
        names = json.loads((folder / "classes.json").read_text())
        judge = cls(tuple(names["subjects"]), tuple(names["manners"]))
        judge.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / _FILE).items()})
        return judge.eval()


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1),
        nn.GroupNorm(8, channels_out),
        nn.SiLU(),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        nn.GroupNorm(8, channels_out),
        nn.SiLU(),
    )


def judge_loss(judge: Judge, images: Tensor, subjects: Tensor, manners: Tensor) -> Tensor:
    """Cross-entropy of both heads; `subjects` and `manners` are class numbers [B]."""
    subject, manner = judge(images)
    return F.cross_entropy(subject.float(), subjects) + F.cross_entropy(manner.float(), manners)
