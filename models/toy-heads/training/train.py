"""Trains the toy heads generator: StyleGAN2 with growing resolution, on a GPU or on a CPU, resumable.

    python train.py --data DATA --out RUN [--stages 32:100 64:250 128:600]

DATA is a folder of `toy-heads-dataset`. RUN receives `state.pth` (everything, for the next start), `samples.png`, `log.jsonl`, and
`generator.pth` (moving average, NVIDIA's tensor names). A stage RESOLUTION:END lasts until END thousand pictures were shown.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from factors import Regressor, frechet_distance
from networks import Discriminator, Generator
from pictures import Pictures, best_dtype

R1_INTERVAL = 16
MIXING = 0.9  # share of batches whose styles change over at a random layer (StyleGAN, section 3.1)
EMA_HALF_LIFE = 10_000  # pictures
TOP = 6  # first layer of the top group
# Factors that layers below the top need not decide.
NOT_SHAPES = ("skin_", "hair_tone", "hair_fancy", "hair_hue", "hair_light", "shirt", "ground", "iris", "blush", "hat_hue", "light",
              "glasses_hue", "collar", "brow_thickness", "curl")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", default=["32:100", "64:250", "128:600"], metavar="RESOLUTION:END")
    parser.add_argument("--resolution", type=int, default=128, help="of the finished network")
    parser.add_argument("--channel-base", type=int, default=2048)
    parser.add_argument("--channel-maximum", type=int, default=128)
    parser.add_argument("--width", type=int, default=128, help="of z and w")
    parser.add_argument("--mapping-layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0.0025, help="learning rate")
    parser.add_argument("--gamma", type=float, default=4.0, help="R1 weight, as a factor of 0.0002 resolution^2 / batch")
    parser.add_argument("--style-rate", type=float, default=3.0, help="learning rate of the style weights, as a factor")
    parser.add_argument("--style-decay", type=float, default=1e-4, help="share of the style weights lost per step")
    parser.add_argument("--fade", type=float, default=10, help="thousand pictures that blend a new resolution in")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--regressor", type=Path, help="of factors.py: for the layer loss, and a Frechet distance in the log")
    parser.add_argument("--layer-weight", type=float, default=1.5, help="of the loss that gives colours to the top layers")
    parser.add_argument("--save-minutes", type=float, default=2)
    return parser.parse_args()


def write_samples(generator, z, resolution, path):
    from PIL import Image

    with torch.no_grad():
        rows = [generator(z, psi, resolution=resolution).clamp(-1, 1) for psi in (1.0, 0.7)]
    grid = torch.cat([torch.cat([torch.cat(list(p), 2) for p in x.split(16)], 1) for x in rows], 1)
    Image.fromarray(((grid.permute(1, 2, 0) + 1) * 127.5).round().byte().cpu().numpy()).save(path)


class Training:
    def __init__(self, options):
        self.options, self.device = options, "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = best_dtype(self.device)
        shape = (options.resolution, options.channel_base, options.channel_maximum)
        make = lambda: Generator(*shape, options.width, options.mapping_layers).to(self.device, memory_format=torch.channels_last)
        self.g, self.average = make(), make().eval().requires_grad_(False)
        self.average.load_state_dict(self.g.state_dict())
        self.d = Discriminator(*shape).to(self.device, memory_format=torch.channels_last)
        self.styles = [p for name, p in self.g.named_parameters() if name.endswith("affine.weight")]
        # The published correction of rate and moments for a regularisation that runs every 16th step (StyleGAN2, section B).
        c = R1_INTERVAL / (R1_INTERVAL + 1)
        others = [p for name, p in self.g.named_parameters() if not name.endswith("affine.weight")]
        groups = [{"params": others}, {"params": self.styles, "lr": options.rate * options.style_rate}]
        self.g_optimizer = torch.optim.Adam(groups, options.rate, (0.0, 0.99))
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), options.rate * c, (0.0, 0.99**c))
        self.regressor = Regressor.load(options.regressor, self.device) if options.regressor else None
        if self.regressor:
            shapes = [not name.startswith(NOT_SHAPES) for name in self.regressor.names]
            self.bound = self.regressor.explained.clamp(min=0) * torch.tensor(shapes, device=self.device)
        self.images, self.steps = 0, 0
        if (options.out / "state.pth").exists():
            self.load()
            # A stored optimiser brings its own rates along.
            others, styles, (d,) = *self.g_optimizer.param_groups, self.d_optimizer.param_groups
            others["lr"], styles["lr"], d["lr"] = options.rate, options.rate * options.style_rate, options.rate * c

    def parts(self):
        return {name: getattr(self, name) for name in ("g", "average", "d", "g_optimizer", "d_optimizer")}

    def load(self):
        state = torch.load(self.options.out / "state.pth", map_location=self.device, weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.images, self.steps = state["images"], state["steps"]

    def save(self):
        state = {name: part.state_dict() for name, part in self.parts().items()}
        state.update(images=self.images, steps=self.steps)
        for name, content in (("state.pth", state), ("generator.pth", self.average.state_dict())):
            torch.save(content, self.options.out / (name + ".new"))
            os.replace(self.options.out / (name + ".new"), self.options.out / name)

    def codes(self):
        """Two w of random z for each picture of a batch, for every layer [batch, layers, w]."""
        w = self.g.mapping(torch.randn(2 * self.options.batch, self.options.width, device=self.device))
        self.g.mapping.w_avg.lerp_(w.detach().mean(0), 0.005)
        return w[:, None].expand(-1, self.g.num_ws, -1).chunk(2)

    def layer_loss(self, pictures, first, second, resolution):
        """How far `pictures`, whose top layers come from `second` and the others from `first`, miss the colours of the one and
        the shapes of the other, in variances.

        Style mixing alone lets any layer decide a factor. A small network settles all colours at 16x16 pixels, and its top
        layers are left with sharpness. Colours are compared in pictures of 4x4 pixels, which cannot be cheated as a regressor
        can; shapes by the regressor.
        """
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            with torch.no_grad():
                shapes, colours = (self.g.synthesis(ws, "random", self.dtype, resolution) for ws in (first, second))
                shapes, colours = self.regressor(shapes), F.adaptive_avg_pool2d(colours, 4)
            shape_miss = (self.regressor(pictures) - shapes).float().square().mean(0)
        colour_miss = (F.adaptive_avg_pool2d(pictures, 4) - colours).square().mean() / colours.var(0).mean()
        return colour_miss + (shape_miss * self.bound).sum() / self.bound.sum()

    def step(self, pictures, resolution, fade):
        o = self.options
        self.d.requires_grad_(False)
        first, second = self.codes()
        layers = 2 * (self.g.synthesis.resolutions.index(resolution) + 1)
        by_group = self.regressor and self.steps % 2 == 0 and layers > TOP
        cut = TOP if by_group else np.random.randint(1, layers) if np.random.rand() < MIXING else layers
        mixed = torch.cat([first[:, :cut], second[:, cut:]], 1)
        fakes = self.g.synthesis(mixed, "random", self.dtype, resolution)
        g_loss = F.softplus(-self.d(fakes, self.dtype, fade)).mean()
        layer_loss = self.layer_loss(fakes, first, second, resolution) if by_group else torch.zeros(())
        self.g_optimizer.zero_grad(set_to_none=True)
        (g_loss + o.layer_weight * layer_loss).backward()
        self.g_optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.styles, 1 - o.style_decay)
        self.d.requires_grad_(True)

        reals = pictures.batch(o.batch)
        real, fake = self.d(reals, self.dtype, fade), self.d(fakes.detach(), self.dtype, fade)
        loss = d_loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        if self.steps % R1_INTERVAL == 0:  # R1 (Mescheder et al., ICML 2018), in full precision
            gamma = o.gamma * 0.0002 * resolution**2 / o.batch
            reals.requires_grad_(True)
            (slope,) = torch.autograd.grad(self.d(reals, fade=fade).sum(), reals, create_graph=True)
            loss = loss + slope.square().sum((1, 2, 3)).mean() * (gamma / 2 * R1_INTERVAL)
        self.d_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.d_optimizer.step()

        self.images += o.batch
        self.steps += 1
        with torch.no_grad():
            keep = 0.5 ** (o.batch / min(EMA_HALF_LIFE, 0.05 * self.images))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.g.parameters()), 1 - keep)
            for a, b in zip(self.average.buffers(), self.g.buffers()):
                a.copy_(b)
        return g_loss.item(), d_loss.item(), real.mean().item(), layer_loss.item()

    def run(self):
        o = self.options
        stages = [(int(r), int(float(end) * 1000)) for r, end in (stage.split(":") for stage in o.stages)]
        z = torch.randn(64, o.width, generator=torch.Generator().manual_seed(3)).to(self.device)
        started = saved = time.time()
        for index, (resolution, end) in enumerate(stages):
            if self.images >= end:
                continue
            begin = stages[index - 1][1] if index else -float("inf")
            pictures, shown, since = Pictures(o.data, resolution, self.device), self.images, time.time()
            while self.images < end and time.time() - started < 60 * o.minutes:
                losses = self.step(pictures, resolution, min(1.0, (self.images - begin) / (1000 * o.fade)))
                if time.time() - saved > 60 * o.save_minutes or self.images >= end:
                    line = {"kimg": self.images / 1000, "resolution": resolution, "rate": (self.images - shown) / (time.time() - since)}
                    line |= dict(zip(("g", "d", "real", "layers"), losses))
                    if self.regressor:
                        line["distance"] = frechet_distance(self.regressor, self.average, pictures, resolution, 1000, self.dtype)
                    with open(o.out / "log.jsonl", "a") as log:
                        print(json.dumps({k: round(v, 3) for k, v in line.items()}), file=log)
                    write_samples(self.average, z, resolution, o.out / "samples.png")
                    self.save()
                    shown, since, saved = self.images, time.time(), time.time()
        self.save()


if __name__ == "__main__":
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.out.stat().st_mtime_ns % 2**31)
    Training(options).run()
