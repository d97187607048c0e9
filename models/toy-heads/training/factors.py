"""A small regressor from pictures to the factors they were rendered with: the ruler of everything that is said about the generator.

    python factors.py --data DATA --out regressor.pth [--epochs 4]

Prints how well each factor is read from pictures that were not trained on. Its last features (128 numbers) serve for a Frechet
distance, called `distance` here because it is not the FID of the Inception network.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pictures import Pictures, best_dtype, to_network

SIZE = 64  # pictures are brought to this resolution
FEATURES = 128
HELD_OUT = 2000  # the last pictures of the data set


class Targets:
    """Factors as outputs of the network: hues as two (cosine and sine), the others standardised."""

    def __init__(self, folder: Path):
        self.values = np.load(folder / "factors.npy")
        names, columns = [], []
        for index, factor in enumerate(json.loads((folder / "factors.json").read_text())):
            name, value = factor["name"], self.values[:, index]
            if name.endswith("_hue"):
                names += [f"{name} (cos)", f"{name} (sin)"]
                columns += [np.cos(2 * math.pi * value), np.sin(2 * math.pi * value)]
            else:
                names.append(name)
                columns.append(value)
        table = torch.tensor(np.stack(columns, 1), dtype=torch.float32)
        self.names = names
        self.table = (table - table.mean(0)) / table.std(0)


class Regressor(nn.Module):
    """Pictures [n, 3, r, r] in [-1, 1] -> factors [n, f] in standard deviations of the data set."""

    def __init__(self, names):
        super().__init__()
        self.names = names
        layers, width = [], 3
        for outputs, halve in ((32, True), (64, False), (64, True), (128, False), (128, True), (128, False), (128, True)):
            layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers += [nn.AvgPool2d(2)] if halve else []
            width = outputs
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 16, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, len(names))
        self.register_buffer("explained", torch.zeros(len(names)))  # R2 of each factor on pictures that were not trained on

    def features(self, pictures):
        if pictures.shape[2] > SIZE:
            pictures = F.avg_pool2d(pictures, pictures.shape[2] // SIZE)
        elif pictures.shape[2] < SIZE:
            pictures = F.interpolate(pictures, size=SIZE, mode="bilinear")
        return self.body(pictures.contiguous(memory_format=torch.channels_last))

    def forward(self, pictures):
        return self.head(self.features(pictures))

    @staticmethod
    def load(path, device="cpu"):
        state = torch.load(path, map_location=device, weights_only=True)
        regressor = Regressor(state["names"]).to(device, memory_format=torch.channels_last)
        regressor.load_state_dict(state["weights"])
        return regressor.eval().requires_grad_(False)


def gaussian(features):
    features = features.double()
    return features.mean(0), features.T.cov()


def distance_of(a, b):
    """Frechet distance between two Gaussians (mean, covariance)."""
    root = lambda m: (lambda l, v: v * l.clamp(min=0).sqrt() @ v.T)(*torch.linalg.eigh(m))
    (ma, ca), (mb, cb) = a, b
    half = root(ca)
    return float((ma - mb).square().sum() + (ca + cb - 2 * root(half @ cb @ half)).trace())


@torch.no_grad()
def frechet_distance(regressor, generator, pictures, resolution, count, dtype, batch=50):
    """Between `count` generated pictures (psi 1) and as many of the data set, in the regressor's features."""
    device = next(regressor.parameters()).device
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(1)).to(device)
    fakes = [regressor.features(generator(part, dtype=dtype, resolution=resolution).clamp(-1, 1)) for part in z.split(batch)]
    reals = [regressor.features(pictures.batch(batch)) for _ in range(count // batch)]
    return distance_of(gaussian(torch.cat(fakes)), gaussian(torch.cat(reals)))


def train(data, out, epochs, batch=64):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = best_dtype(device)
    targets, pictures = Targets(data), Pictures(data, SIZE, device).all
    table = targets.table.to(device)
    regressor = Regressor(targets.names).to(device, memory_format=torch.channels_last)
    count = len(pictures) - HELD_OUT
    steps = epochs * (count // batch)
    optimizer = torch.optim.AdamW(regressor.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in range(steps):
        chosen = torch.randint(count, (batch,), device=device)
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss = F.mse_loss(regressor(to_network(pictures[chosen])), table[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} of {steps}: {loss.item():.3f}", flush=True)
    regressor.eval()
    with torch.no_grad():
        read = torch.cat([regressor(to_network(p)) for p in pictures[count:].split(100)])
    explained = 1 - (read - table[count:]).square().mean(0) / table[count:].var(0)
    regressor.explained.copy_(explained)
    torch.save({"names": targets.names, "weights": regressor.state_dict()}, out)
    for name, share in sorted(zip(targets.names, explained.tolist()), key=lambda x: -x[1]):
        print(f"{name:24} R2 {share:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    train(options.data, options.out, options.epochs)
