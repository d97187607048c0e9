"""Trains the toy heads generator on pairs: what z stands for (`pairs.py`) is rendered, and the picture made from z is pulled to it.

    python train.py --renderer dataset/target/release/toy-heads-dataset --out RUN --seconds 330

A GPU is meant; any length of time gives a generator. Pictures are rendered while it trains. RUN receives `generator.safetensors`
(moving average, NVIDIA's tensor names, half precision), `state.safetensors` (for `--resume`, without the optimisers' moments),
`samples.jpg`, `pairs.jpg` (rendered above, made below) and `log.jsonl`.

The loss is L1 + L2 between the pictures, on a pyramid, and more at edges (eyes are small), at 32, then 64, then 128 pixels. From
`--adversary` of the time on there is also StyleGAN2's discriminator, which compares each picture with its own rendering (relativistic
pairing: Jolicoeur-Martineau, 2018; R1 and R2: Huang et al., 2024), and L1 between its features of the two. The pull of each is a
fixed share of the pixels' pull.

All along, the columns of a group's style weights are kept at right angles, so that directions found in them are those of factors.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import pairs
from networks import Discriminator, Generator
from pictures import best_dtype, to_bytes, to_network
from renders import Renders

RESOLUTION = 128
STAGES = [(32, 0.1), (64, 0.28), (128, 1.0)]  # pixels until this share of the time
BATCHES = {32: 128, 64: 96, 128: 64}
RATES = {32: 4e-3, 64: 3e-3, 128: 2.5e-3}
COOLING = 0.6  # from here on the rates fall to nothing
STYLE_RATE = 2.0  # of the style weights, as a factor
ADVERSARY_PULL, FEATURE_PULL = 0.3, 0.5
WARMING = 0.03  # share of the time in which the adversary, and each resolution of it, comes in
R1_INTERVAL, R1_GAMMA = 16, 4.0  # at 128 pixels; with the square of the side
RIGHT_ANGLES, ANGLES_INTERVAL = 0.01, 4
EMA_HALF_LIFE = 20_000  # pictures
GRAIN = 0.005  # noise strength of the finest two blocks, set after the training


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renderer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--work", type=Path, help="folder for what is being rendered (in memory, if it may be)")
    parser.add_argument("--capacity", type=int, default=450_000, help="rendered pictures kept")
    parser.add_argument("--workers", type=int, default=3, help="processes that render")
    parser.add_argument("--threads", type=int, default=5, help="of each of them")
    parser.add_argument("--channel-base", type=int, default=4096)
    parser.add_argument("--channel-maximum", type=int, default=256)
    parser.add_argument("--batch-scale", type=float, default=1.0)
    parser.add_argument("--adversary", type=float, default=0.06, help="share of the time after which there is one")
    parser.add_argument("--resume", type=Path, help="a state.safetensors")
    parser.add_argument("--save-seconds", type=float, default=60)
    return parser.parse_args(words)


def pixel_loss(fakes, targets):
    """L1 + L2 on a pyramid; at the finest two levels, edges of the target count more."""
    miss, total = fakes - targets, 0.0
    size = level = targets.shape[2]
    while level >= 8:
        if level < size:
            miss, targets = F.avg_pool2d(miss, 2), F.avg_pool2d(targets, 2)
        cost = miss.abs() + miss.square()
        if level >= size // 2:
            edge = (targets - F.avg_pool2d(targets, 5, 1, 2, count_include_pad=False)).abs().mean(1, keepdim=True)
            weight = 1 + (20 * edge).clamp(max=4)
            cost = cost * (weight / weight.mean())
        total = total + cost.mean()
        level //= 2
    return total


def style_layers(generator):
    """Each style transform and the layer whose w it reads."""
    layers, layer = [], 0
    for r in generator.synthesis.resolutions:
        block = getattr(generator.synthesis, f"b{r}")
        if r > 4:
            layers.append((block.conv0.affine, layer))
            layer += 1
        layers.append((block.conv1.affine, layer))
        layer += 1
        layers.append((block.torgb.affine, layer))
    return layers


def right_angles(generator):
    """Sum of squared cosines between the columns of each group's style weights, as SeFa takes them: of unit rows, of the convolutions
    and the last RGB layer.
    """
    total, resolutions = 0.0, generator.synthesis.resolutions
    last = getattr(generator.synthesis, f"b{resolutions[-1]}").torgb.affine
    converts = [getattr(generator.synthesis, f"b{r}").torgb.affine for r in resolutions]
    layers = [(a, layer) for a, layer in style_layers(generator) if a is last or all(a is not c for c in converts)]
    for group, (first, end) in pairs.GROUPS.items():
        rows = torch.cat([a.weight for a, layer in layers if first <= layer < end])[:, generator.columns[group]]
        rows = F.normalize(rows, dim=1)
        gram = F.normalize(rows, dim=0).t() @ F.normalize(rows, dim=0)
        total = total + gram.square().sum() - gram.diagonal().square().sum()
    return total


def make_generator(options, device):
    generator = Generator(RESOLUTION, options.channel_base, options.channel_maximum, pairs.WIDTH, 2, style_spread=1.0)
    pairs.set_mapping(generator.mapping)
    generator.mapping.requires_grad_(False)
    with torch.no_grad():
        for affine, layer in style_layers(generator):
            group = next(g for g, (first, end) in pairs.GROUPS.items() if first <= layer < end)
            affine.weight[:, ~pairs.columns(group)] = 0  # and stays, since these inputs are always 0 in training
    return generator.to(device, memory_format=torch.channels_last)


def finished(generator):
    """The generator with w where the training has v (the offset goes into the biases of the styles), in numbers that half precision
    holds. The training is without noise, since pictures are what z says; a trace is added, so that the noise inputs are alive.
    """
    generator = copy.deepcopy(generator).eval().requires_grad_(False)
    for r in generator.synthesis.resolutions[-2:]:
        block = getattr(generator.synthesis, f"b{r}")
        block.conv0.noise_strength.fill_(GRAIN)
        block.conv1.noise_strength.fill_(GRAIN)
    offset = pairs.offsets().to(generator.mapping.w_avg)
    for affine, _ in style_layers(generator):
        affine.weight.copy_(affine.weight.half())  # first, so that its rounding meets v, not w
        affine.bias -= (affine.weight * affine.weight_gain) @ offset / affine.bias_gain
    for tensor in generator.state_dict().values():
        tensor.copy_(tensor.half())
    return generator


class Training:
    def __init__(self, options):
        self.options = options
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = best_dtype(self.device)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = False  # looking for the fastest forms took 30 s on an H200
        self.g = make_generator(options, self.device)
        self.renders = Renders(
            options.renderer, copy.deepcopy(self.g.mapping).cpu(), self.device, options.capacity, RESOLUTION,
            options.workers, options.threads, time.time_ns() % 2**31, options.work,
        )
        self.average = copy.deepcopy(self.g).requires_grad_(False)
        # Three quarters of the generator's channels: as much work as the generator.
        self.d = Discriminator(RESOLUTION, options.channel_base * 3 // 4, options.channel_maximum * 3 // 4)
        self.d = self.d.to(self.device, memory_format=torch.channels_last)
        self.truncation = pairs.Truncation(self.g.mapping, self.device)
        layers = torch.zeros(self.g.num_ws, pairs.WIDTH, dtype=torch.bool)
        for group, (first, end) in pairs.GROUPS.items():
            layers[first:end] = pairs.columns(group)
        self.layers = layers.to(self.device).float()
        for generator in (self.g, self.average):
            generator.columns = {g: pairs.columns(g).nonzero().flatten().to(self.device) for g in pairs.GROUPS}
        trained = [(n, p) for n, p in self.g.named_parameters() if p.requires_grad and not n.endswith("noise_strength")]
        styles = [p for n, p in trained if n.endswith("affine.weight")]
        others = [p for n, p in trained if not n.endswith("affine.weight")]
        groups = [{"params": others, "factor": 1.0}, {"params": styles, "factor": STYLE_RATE}]
        fused = {"fused": True} if self.device == "cuda" else {}
        self.g_optimizer = torch.optim.Adam(groups, 1e-3, (0.9, 0.99), eps=1e-8, **fused)
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), 1e-3, (0.0, 0.99), eps=1e-8, **fused)
        self.images = self.steps = self.d_steps = 0
        self.figures = {}
        if options.resume:
            self.load(options.resume)

    def state(self):
        modules = {"g": self.g, "d": self.d}
        return {f"{part}.{n}": p for part, module in modules.items() for n, p in module.named_parameters()}

    def load(self, path):
        stored = load_file(path)
        with torch.no_grad():
            for name, parameter in self.state().items():
                parameter.copy_(stored[name])
        self.average.load_state_dict(self.g.state_dict())

    def save(self, size):
        if not all(bool(p.isfinite().all()) for p in self.average.parameters()):
            print("not finite: back to what was saved last", flush=True)
            self.load(self.options.out / "state.safetensors")
            return
        generator = finished(self.average)
        for name, tensors in (("generator.safetensors", generator.state_dict()), ("state.safetensors", self.state())):
            save_file({n: t.detach().half().contiguous().cpu() for n, t in tensors.items()}, self.options.out / (name + ".new"))
            os.replace(self.options.out / (name + ".new"), self.options.out / name)
        self.write_sheets(generator, size)

    @torch.no_grad()
    def write_sheets(self, generator, size):
        from PIL import Image

        def write(rows, name):
            grid = torch.cat([torch.cat(list(row), 1) for row in rows], 0)
            Image.fromarray(grid.cpu().numpy()).save(self.options.out / name, quality=88)

        z = torch.randn(64, pairs.WIDTH, generator=torch.Generator().manual_seed(3)).to(self.device)
        made = torch.cat([to_bytes(generator(z, psi, self.dtype, size)) for psi in (1.0, 0.7)])
        write(made.split(16), "samples.jpg")
        codes, targets = self.renders.codes[:32], self.renders.pictures[:32]
        made = to_bytes(self.synthesize(generator, codes + pairs.offsets().to(codes), size, mask=False))
        targets = to_bytes(to_network(targets, size))
        write([targets[:16], made[:16], targets[16:], made[16:]], "pairs.jpg")

    def synthesize(self, generator, codes, size, mask=True):
        ws = codes[:, None] * self.layers if mask else codes[:, None].expand(-1, generator.num_ws, -1)
        return generator.synthesis(ws, None, self.dtype, size)

    def set_rates(self, size, time_share):
        share = max(0.0, (time_share - COOLING) / (1 - COOLING))
        cooling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        warming = min(1.0, (self.steps + 1) / 100)
        for group in self.g_optimizer.param_groups:
            group["lr"] = RATES[size] * group["factor"] * cooling * warming
        for group in self.d_optimizer.param_groups:
            group["lr"] = RATES[size] * cooling
        return cooling

    def step(self, size, pull=0.0, fade=1.0):
        """One step at `size` pixels; `pull` is the share of the adversary's full pull, 0 for none, and `fade` that of its first layer."""
        batch = 16 * max(1, round(BATCHES[size] * self.options.batch_scale / 16))
        codes, targets = self.renders.batch(batch, size)
        fakes = self.synthesize(self.g, self.truncation(codes), size)
        leaf = fakes.detach().requires_grad_(True)
        pixels = pixel_loss(leaf, targets)
        (gradient,) = torch.autograd.grad(pixels, leaf)
        figures = {"pixels": pixels.detach(), "l1": (leaf.detach() - targets).abs().mean()}
        if pull > 0:
            gradient = gradient + pull * self.adversary(leaf, targets, gradient.norm(), fade, figures)
        self.g_optimizer.zero_grad(set_to_none=True)
        fakes.backward(gradient)
        if self.steps % ANGLES_INTERVAL == 0:
            angles = right_angles(self.g)
            (angles * (RIGHT_ANGLES * ANGLES_INTERVAL)).backward()
            self.angles = angles.detach()
        self.g_optimizer.step()
        figures["angles"] = self.angles
        self.images += batch
        self.steps += 1
        with torch.no_grad():
            keep = 0.5 ** (batch / min(EMA_HALF_LIFE, 0.05 * self.images))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.g.parameters()), 1 - keep)
        self.figures = figures

    def adversary(self, fakes, targets, norm, fade, figures):
        """A step of the discriminator; returns what it and its features say about `fakes`, as a gradient."""
        self.d.requires_grad_(False)
        of_real, of_fake = [], []
        with torch.no_grad():
            real = self.d(targets, self.dtype, fade, of_real)
        fake = self.d(fakes, self.dtype, fade, of_fake)
        (says,) = torch.autograd.grad(F.softplus(real - fake).mean(), fakes, retain_graph=True)
        (likeness,) = torch.autograd.grad(sum((a.float() - b.float()).abs().mean() for a, b in zip(of_real, of_fake)), fakes)
        gradient = says * (ADVERSARY_PULL * norm / (says.norm() + 1e-12)) + likeness * (FEATURE_PULL * norm / (likeness.norm() + 1e-12))

        self.d.requires_grad_(True)
        fakes = fakes.detach()
        # Together, so that the groups of four which the discriminator forms are of one kind.
        both = torch.cat([targets.unflatten(0, (4, -1)), fakes.unflatten(0, (4, -1))], 1).flatten(0, 1)
        says_real, says_fake = self.d(both.contiguous(memory_format=torch.channels_last), self.dtype, fade).unflatten(0, (4, 2, -1)).unbind(1)
        loss = F.softplus(says_fake - says_real).mean()
        figures |= {"d": loss.detach(), "margin": (real - fake).mean().detach()}
        if self.d_steps % R1_INTERVAL == 0:  # in full precision, of every fourth picture
            gamma = R1_GAMMA * (fakes.shape[2] / RESOLUTION) ** 2
            both = torch.cat([targets[::4], fakes[::4]]).requires_grad_(True)
            (slope,) = torch.autograd.grad(self.d(both, fade=fade).sum(), both, create_graph=True)
            loss = loss + slope.square().sum((1, 2, 3)).mean() * (gamma / 2 * R1_INTERVAL)
        self.d_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.d_optimizer.step()
        self.d_steps += 1
        return gradient

    def run(self, started=None):
        """Trains until `seconds` after `started`; whatever happens, the best there is gets saved."""
        started = started or time.time()
        self.size = STAGES[0][0]
        try:
            self.renders.wait_for(min(2000, self.options.capacity))
            self.loop(started, time.time(), started + self.options.seconds)
        finally:
            self.renders.stop()
            self.save(self.size)

    def loop(self, started, begun, deadline):
        o = self.options
        saved = told = begun
        shown = self.images
        while (now := time.time()) < deadline:
            share = (now - begun) / (deadline - begun)
            if o.resume:
                share = 0.5 + 0.5 * share
            stage = next(index for index, (_, end) in enumerate(STAGES) if share < end)
            self.size, since = STAGES[stage][0], STAGES[stage - 1][1] if stage else 0.0
            self.set_rates(self.size, share)
            pull = max(0.0, min(1.0, (share - o.adversary) / WARMING))
            fade = min(1.0, (share - since) / WARMING + 1e-3) if since > o.adversary else 1.0
            if pull > 0 and self.d_steps == 0:
                for group in self.g_optimizer.param_groups:
                    group["betas"] = (0.5, 0.99)
            self.step(self.size, pull, fade)
            if now - told > o.save_seconds / 6:
                line = {"seconds": now - started, "size": self.size, "kimg": self.images / 1000, "steps": self.steps}
                line |= {"rendered": self.renders.count, "rate": (self.images - shown) / (now - told)}
                line |= {name: value.item() for name, value in self.figures.items()}
                with open(o.out / "log.jsonl", "a") as log:
                    print(json.dumps({k: round(v, 4) for k, v in line.items()}), file=log)
                print(*(f"{k} {v:.4g}" for k, v in line.items()), flush=True)
                told, shown = now, self.images
            if now - saved > o.save_seconds and now < deadline - o.save_seconds / 3:
                self.save(self.size)
                saved = time.time()


def main(words=None, started=None):
    options = arguments(words)
    options.out.mkdir(parents=True, exist_ok=True)
    Training(options).run(started)


if __name__ == "__main__":
    main()
