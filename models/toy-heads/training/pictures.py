"""Pictures of a data set, in memory."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

PART = 1000  # pictures brought to another size at a time


def best_dtype(device):
    if device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def to_network(pictures, resolution=None):
    """uint8 [n, h, w, 3] -> [n, 3, r, r] in [-1, 1], channels last; averaged down to `resolution`, if one is given."""
    x = pictures.permute(0, 3, 1, 2).float()
    if resolution is not None and x.shape[2] > resolution:
        x = F.avg_pool2d(x, x.shape[2] // resolution)
    return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def to_bytes(x):
    """[n, 3, h, w] in [-1, 1] -> uint8 [n, h, w, 3]."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)


class Pictures:
    """The data set at a resolution, on a device: `all` is uint8 [n, r, r, 3]."""

    def __init__(self, folder: Path, resolution: int, device="cpu"):
        stored = np.load(folder / "images.npy", mmap_mode="c")
        if stored.shape[1] == resolution and device == "cpu":
            self.all = torch.from_numpy(stored)
            return
        self.all = torch.empty((len(stored), resolution, resolution, 3), dtype=torch.uint8, device=device)
        for first in range(0, len(stored), PART):
            part = torch.from_numpy(np.ascontiguousarray(stored[first : first + PART])).to(device)
            self.all[first : first + PART] = to_bytes(to_network(part, resolution))

    def __len__(self):
        return len(self.all)

    def batch(self, count):
        """Random pictures, for a network."""
        indices = torch.randint(len(self.all), (count,)).sort().values
        return to_network(self.all[indices.to(self.all.device)])
