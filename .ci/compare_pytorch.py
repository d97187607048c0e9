"""Times SeFa Studio against plain PyTorch forwards and compares their pictures; see .ci/compare-pytorch.

The forwards are written from the published formulas, in the form that is fast in PyTorch: modulated convolutions share
their weights (styles scale the input, demodulation the output), spectral and batch norms are folded beforehand.
Checkpoints have the public sizes and random weights. Every measurement is a process of its own, PyTorch and SeFa Studio
in turns, so that what else the machine does meets both.

With --gpu, PyTorch runs on CUDA, with channels-last weights and its own defaults (convolutions in TF32), in f16 by autocast.
"""

import argparse
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

# Of pictures in -1..1. TF32 has as few bits as f16.
LARGEST_DIFFERENCE = {"cpu": 1e-3, "gpu": 5e-2}
# Time after which one measurement is given up, in seconds.
PATIENCE = 900


# ---- checkpoints, with the names of the public files ----


def width(resolution):
    return min(32768 // resolution, 512)


def stylegan_width(resolution):
    return min(16384 // resolution, 512)


def sizes(last):
    return [4 << block for block in range(int(math.log2(last)) - 1)]


def make_stylegan2(resolution):
    from torch import ones, outer, randn, tensor

    state = {"mapping.w_avg": randn(512) * 0.1}
    for i in range(8):
        state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"] = randn(512, 512) * 100, randn(512) * 10
    taps = tensor([1.0, 3.0, 3.0, 1.0])
    state["synthesis.b4.const"] = randn(512, 4, 4)
    for r in sizes(resolution):
        state[f"synthesis.b{r}.resample_filter"] = outer(taps, taps) / 64
        layers = [("conv1", width(r))] if r == 4 else [("conv0", width(r // 2)), ("conv1", width(r))]
        for name, inputs in layers:
            layer = f"synthesis.b{r}.{name}"
            state[f"{layer}.weight"] = randn(width(r), inputs, 3, 3)
            state[f"{layer}.bias"] = randn(width(r)) * 0.1
            state[f"{layer}.affine.weight"] = randn(inputs, 512)
            state[f"{layer}.affine.bias"] = 1 + randn(inputs) * 0.1
            state[f"{layer}.noise_const"], state[f"{layer}.noise_strength"] = randn(r, r), randn([]) * 0.1
        layer = f"synthesis.b{r}.torgb"
        state[f"{layer}.weight"], state[f"{layer}.bias"] = randn(3, width(r), 1, 1) * 0.2, randn(3) * 0.1
        state[f"{layer}.affine.weight"], state[f"{layer}.affine.bias"] = randn(width(r), 512) * 0.3, ones(width(r))
    return state


def make_stylegan(resolution):
    from torch import randn, tensor

    state = {"truncation.w_avg": randn(512) * 0.1, "synthesis.lod": tensor(0.0)}
    for i in range(8):
        state[f"mapping.dense{i}.weight"], state[f"mapping.dense{i}.bias"] = randn(512, 512) * 100, randn(512) * 10
    inputs = 512
    for block, r in enumerate(sizes(resolution)):
        outputs = stylegan_width(r)
        for n in (2 * block, 2 * block + 1):
            layer = f"synthesis.layer{n}"
            if n == 0:
                state[f"{layer}.const"] = randn(1, 512, 4, 4)
            else:
                state[f"{layer}.weight"] = randn(outputs, inputs, 3, 3)
            state[f"{layer}.bias"] = randn(outputs) * 0.1
            state[f"{layer}.apply_noise.noise"] = randn(1, 1, r, r)
            state[f"{layer}.apply_noise.weight"] = randn(outputs) * 0.1
            state[f"{layer}.style.weight"] = randn(2 * outputs, 512) * 0.3
            state[f"{layer}.style.bias"] = randn(2 * outputs) * 0.1
            inputs = outputs
        state[f"synthesis.output{block}.weight"] = randn(3, outputs, 1, 1) * 0.3
        state[f"synthesis.output{block}.bias"] = randn(3) * 0.1
    return {"generator_smooth": state}


def make_pggan(resolution):
    from torch import randn, tensor

    state = {"lod": tensor(0.0), "layer0.weight": randn(512, 512, 4, 4)}
    inputs = 512
    for block, r in enumerate(sizes(resolution)):
        outputs = stylegan_width(r)
        for n in (2 * block, 2 * block + 1):
            if n > 0:
                state[f"layer{n}.weight"] = randn(outputs, inputs, 3, 3)
            state[f"layer{n}.bias"] = randn(outputs) * 0.1
            inputs = outputs
        state[f"output{block}.weight"], state[f"output{block}.bias"] = randn(3, outputs, 1, 1) * 0.3, randn(3) * 0.1
    return {"generator_smooth": state}


# name: (widest layer, channels times cutoff, size of kernels, radial filters)
STYLEGAN3 = {"t": (512, 16384, 3, False), "r": (1024, 32768, 1, True)}


def make_stylegan3(config, resolution):
    from torch import arange, eye, hypot, kaiser_window, ones, outer, rand, randn, sinc, zeros
    from torch.special import bessel_j1

    def low_pass(taps, cutoff, rate, radial):
        window, at = kaiser_window(taps, periodic=False, beta=8.0), (arange(taps) - (taps - 1) / 2) * (2 * cutoff / rate)
        if not radial:
            filter = sinc(at) * window
            return filter / filter.sum()
        radius = hypot(at[:, None], at[None]) * math.pi
        filter = bessel_j1(radius) / radius * outer(window, window)
        return filter / filter.sum()

    widest, channel_base, kernel, radial = STYLEGAN3[config]
    layers, critical, margin = 14, 2, 10
    # Cutoffs and stopbands grow geometrically up to the layers that are sampled critically.
    shares = [min(i / (layers - critical), 1) for i in range(layers + 1)]
    cutoffs = [2 * (resolution / 4) ** share for share in shares]
    stopbands = [2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** share for share in shares]
    rates = [2 ** math.ceil(math.log2(min(2 * stopband, resolution))) for stopband in stopbands]
    extents = [rate + 2 * margin for rate in rates[:-2]] + [resolution, resolution]
    widths = [round(min(channel_base / cutoff, widest)) for cutoff in cutoffs]

    state = {"mapping.w_avg": randn(512) * 0.1}
    for i in range(2):
        state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"] = randn(512, 512) * 100, randn(512) * 10
    state |= {
        "synthesis.input.weight": randn(widths[0], widths[0]),
        "synthesis.input.freqs": randn(widths[0], 2),
        "synthesis.input.phases": rand(widths[0]) - 0.5,
        "synthesis.input.transform": eye(3),
        "synthesis.input.affine.weight": zeros(4, 512),
        "synthesis.input.affine.bias": eye(4)[0],
    }
    for i, (rate, extent) in enumerate(zip(rates, extents)):
        last, before = i == layers, max(i - 1, 0)
        inputs, outputs, k = widths[before], 3 if last else widths[i], 1 if last else kernel
        layer = f"synthesis.L{i}_{extent}_{outputs}"
        state[f"{layer}.weight"], state[f"{layer}.bias"] = randn(outputs, inputs, k, k), randn(outputs) * 0.1
        state[f"{layer}.affine.weight"], state[f"{layer}.affine.bias"] = randn(inputs, 512) * 0.3, ones(inputs)
        state[f"{layer}.magnitude_ema"] = ones([])
        if not last:
            high = 2 * max(rates[before], rate)
            up, down = high // rates[before], high // rate
            state[f"{layer}.up_filter"] = low_pass(6 * up, cutoffs[before], high, False)
            is_radial = radial and i < layers - critical
            state[f"{layer}.down_filter"] = low_pass(6 * down, cutoffs[i], high, is_radial)
    return state


# (doubles the size, inputs / 128, outputs / 128); None is attention.
BIGGAN_DEEP = {
    256: [(0, 16, 16), (1, 16, 16), (0, 16, 16), (1, 16, 8), (0, 8, 8), (1, 8, 8), (0, 8, 8), (1, 8, 4)]
    + [None, (0, 4, 4), (1, 4, 2), (0, 2, 2), (1, 2, 1)],
}


def make_biggan_deep(resolution):
    from torch import rand, randn, tensor

    def kernel(outputs, inputs, size):
        return randn(outputs, inputs, size, size) * math.sqrt(2 / (inputs * size * size))

    state = {
        "embeddings.weight": randn(128, 1000),
        "generator.gen_z.weight": randn(16 * 2048, 256) / 16,
        "generator.gen_z.bias": randn(16 * 2048) * 0.1,
    }
    for index, block in enumerate(BIGGAN_DEEP[resolution]):
        layer = f"generator.layers.{index}"
        if block is None:
            channels = 4 * 128
            for name, (outputs, inputs) in {
                "theta": (channels // 8, channels),
                "phi": (channels // 8, channels),
                "g": (channels // 2, channels),
                "o_conv": (channels, channels // 2),
            }.items():
                state[f"{layer}.snconv1x1_{name}.weight"] = randn(outputs, inputs, 1, 1) * 0.5 / math.sqrt(inputs)
            state[f"{layer}.gamma"] = tensor([0.5])
            continue
        _, inputs, outputs = (n * 128 for n in block)
        middle = inputs // 4
        convs = [(middle, inputs, 1), (middle, middle, 3), (middle, middle, 3), (outputs, middle, 1)]
        for i, (o, n, k) in enumerate(convs):
            state[f"{layer}.conv_{i}.weight"], state[f"{layer}.conv_{i}.bias"] = kernel(o, n, k), randn(o) * 0.1
            for part in ("scale", "offset"):
                state[f"{layer}.bn_{i}.{part}.weight"] = randn(n, 256) * 0.02
            state[f"{layer}.bn_{i}.running_means"] = randn(51, n) * 0.1
            state[f"{layer}.bn_{i}.running_vars"] = 1 + rand(51, n)
    state["generator.bn.weight"], state["generator.bn.bias"] = 1 + randn(128) * 0.1, randn(128) * 0.1
    state["generator.bn.running_means"], state["generator.bn.running_vars"] = randn(51, 128) * 0.1, 8 + rand(51, 128)
    state["generator.conv_to_rgb.weight"] = kernel(128, 128, 3) * 0.3
    state["generator.conv_to_rgb.bias"] = randn(128) * 0.1
    return state


# ---- forwards: load(state) prepares weights once and gives a function z [1, dim] -> picture [1, 3, H, W] ----


def pixel_norm(x):
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def mapping(state, name, bias_gain, depth=8):
    """`bias_gain`: StyleGAN scales the weights by sqrt(2), StyleGAN2 what follows the activation, so biases too."""
    from torch.nn.functional import leaky_relu, linear

    layers = [(state[f"{name}{i}.weight"], state[f"{name}{i}.bias"] * 0.01 * bias_gain) for i in range(depth)]
    layers = [(weight * (0.01 * math.sqrt(2 / weight.shape[1])), bias) for weight, bias in layers]

    def forward(z):
        x = pixel_norm(z)
        for weight, bias in layers:
            x = leaky_relu(linear(x, weight, bias), 0.2)
        return x

    return forward


def load_stylegan2(state):
    from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

    code = mapping(state, "mapping.fc", math.sqrt(2))
    fir = state["synthesis.b4.resample_filter"] * 4

    def affine(layer):
        weight, bias = state[f"{layer}.affine.weight"] / math.sqrt(512), state[f"{layer}.affine.bias"]
        return lambda w: linear(w, weight, bias)

    def convolution(layer, up):
        style, weight, bias = affine(layer), state[f"{layer}.weight"], state[f"{layer}.bias"][:, None, None]
        squares = weight.square().sum((2, 3)).t().contiguous()
        noise = state[f"{layer}.noise_const"] * state[f"{layer}.noise_strength"]
        transposed = weight.transpose(0, 1).contiguous() if up else None
        filters = fir.expand(weight.shape[0], 1, 4, 4).contiguous()

        def forward(x, w):
            s = style(w)
            demodulation = (s.square() @ squares + 1e-8).rsqrt()[:, :, None, None]
            x = x * s[:, :, None, None]
            if up:
                x = conv_transpose2d(x, transposed, stride=2)
                x = conv2d(x, filters, padding=1, groups=filters.shape[0])
            else:
                x = conv2d(x, weight, padding=1)
            return leaky_relu(x * demodulation + noise + bias, 0.2) * math.sqrt(2)

        return forward

    def to_rgb(layer):
        style, weight = affine(layer), state[f"{layer}.weight"]
        weight, bias = weight / math.sqrt(weight.shape[1]), state[f"{layer}.bias"]
        return lambda x, w: conv2d(x * style(w)[:, :, None, None], weight, bias)

    blocks, r = [], 4
    while f"synthesis.b{r}.conv1.weight" in state:
        name = f"synthesis.b{r}"
        convs = [convolution(f"{name}.conv0", True)] if r > 4 else []
        blocks.append((convs + [convolution(f"{name}.conv1", False)], to_rgb(f"{name}.torgb")))
        r *= 2
    skip = fir.expand(3, 1, 4, 4).contiguous()

    def forward(z):
        w, x, picture = code(z), state["synthesis.b4.const"][None], None
        for convs, rgb in blocks:
            for conv in convs:
                x = conv(x, w)
            y = rgb(x, w)
            picture = y if picture is None else conv_transpose2d(picture, skip, stride=2, padding=1, groups=3) + y
        return picture

    return forward


def load_stylegan(state):
    from torch import outer, tensor
    from torch.nn.functional import conv2d, conv_transpose2d, interpolate, leaky_relu, linear, pad

    state = state["generator_smooth"]
    code = mapping(state, "mapping.dense", 1)
    taps = tensor([1.0, 2.0, 1.0])
    blur = outer(taps, taps) / 16

    def layer(n):
        name, size = f"synthesis.layer{n}", 4 << (n // 2)
        noise = state[f"{name}.apply_noise.noise"] * state[f"{name}.apply_noise.weight"][:, None, None]
        noise_and_bias = noise + state[f"{name}.bias"][:, None, None]
        style, shift = state[f"{name}.style.weight"] / math.sqrt(512), state[f"{name}.style.bias"]
        up, fused, weight = n > 0 and n % 2 == 0, size >= 128, None
        if n > 0:
            weight = state[f"{name}.weight"]
            weight = weight * math.sqrt(2 / (9 * weight.shape[1]))
            filters = blur.expand(weight.shape[0], 1, 3, 3).contiguous()
        if up and fused:
            # Nearest up-sampling and the convolution as one transposed convolution.
            padded = pad(weight.transpose(0, 1), (1, 1, 1, 1))
            weight = padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]
            weight = weight.contiguous()

        def forward(x, w):
            if up and fused:
                x = conv_transpose2d(x, weight, stride=2, padding=1)
            elif up:
                x = conv2d(interpolate(x, scale_factor=2), weight, padding=1)
            elif n > 0:
                x = conv2d(x, weight, padding=1)
            if up:
                x = conv2d(x, filters, padding=1, groups=filters.shape[0])
            x = leaky_relu(x + noise_and_bias, 0.2)
            x = x - x.mean((2, 3), keepdim=True)
            x = x * (x.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()
            scale, offset = linear(w, style, shift)[:, :, None, None].chunk(2, 1)
            return x * (scale + 1) + offset

        return forward

    count = sum(name.endswith(".style.bias") for name in state)
    layers = [layer(n) for n in range(count)]
    rgb, rgb_bias = state[f"synthesis.output{count // 2 - 1}.weight"], state[f"synthesis.output{count // 2 - 1}.bias"]
    rgb = rgb / math.sqrt(rgb.shape[1])

    def forward(z):
        w, x = code(z), state["synthesis.layer0.const"]
        for layer in layers:
            x = layer(x, w)
        return conv2d(x, rgb, rgb_bias)

    return forward


def load_stylegan3(state):
    from torch import arange, eye, meshgrid, sin, stack
    from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

    code, margin = mapping(state, "mapping.fc", math.sqrt(2), 2), 10
    # In the order in which they were made.
    names = [name.removesuffix(".magnitude_ema") for name in state if name.endswith(".magnitude_ema")]
    extents = [int(name.split("_")[-2]) for name in names]

    def affine(layer):
        weight, bias = state[f"{layer}.affine.weight"] / math.sqrt(512), state[f"{layer}.affine.bias"]
        return lambda w: linear(w, weight, bias)

    def fourier():
        get = lambda part: state[f"synthesis.input.{part}"]
        style, rate, channels = affine("synthesis.input"), extents[0] - 2 * margin, len(get("phases"))
        axis = (arange(extents[0]) + 0.5 - extents[0] / 2) / rate
        grid = stack(meshgrid(axis, axis, indexing="xy")).flatten(1)
        mixing = get("weight") / math.sqrt(channels)

        def forward(w):
            cos, sine, x, y = (style(w) / style(w)[:, :2].norm(dim=1, keepdim=True))[0]
            turn, shift = eye(3), eye(3)
            turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1] = cos, -sine, sine, cos
            shift[0, 2], shift[1, 2] = -x, -y
            transform = turn @ shift @ get("transform")
            frequencies, phases = get("freqs") @ transform[:2, :2], get("phases") + get("freqs") @ transform[:2, 2]
            fade = (1 - (frequencies.norm(dim=1) - 2) / (rate / 2 - 2)).clamp(0, 1)
            waves = sin((frequencies @ grid + phases[:, None]) * (2 * math.pi)) * fade[:, None]
            return (mixing @ waves).view(1, channels, extents[0], extents[0])

        return forward

    def layer(name, before, extent):
        style, weight, bias = affine(name), state[f"{name}.weight"], state[f"{name}.bias"][:, None, None]
        (channels, inputs, k, _), last = weight.shape, name == names[-1]
        gain = state[f"{name}.magnitude_ema"].rsqrt() * (1 / math.sqrt(inputs) if last else 1)
        if last:
            return lambda x, w: conv2d(x * (style(w) * gain)[:, :, None, None], weight) + bias
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        squares = weight.square().sum((2, 3)).t().contiguous()
        up_filter, down_filter = state[f"{name}.up_filter"], state[f"{name}.down_filter"]
        up, down = len(up_filter) // 6, len(down_filter) // 6
        # What the padded and filtered map keeps of the full transposed convolution.
        length = (extent - 1) * down + len(down_filter)
        padding = length - 1 + len(up_filter) - (before + k - 1) * up
        start = len(up_filter) - 1 - (padding + up) // 2
        kept = slice(start, start + length)

        def depthwise(filter):
            return filter.expand(channels, 1, *filter.shape).contiguous()

        up_filters = depthwise(up_filter[:, None] * up), depthwise(up_filter[None] * up)
        if down_filter.ndim == 2:
            down_filters = [(depthwise(down_filter), (down, down))]
        else:
            down_filters = [(depthwise(down_filter[:, None]), (down, 1)), (depthwise(down_filter[None]), (1, down))]

        def forward(x, w):
            s = style(w)
            s = s * s.square().mean().rsqrt()
            demodulation = (s.square() @ squares + 1e-8).rsqrt()[:, :, None, None]
            x = conv2d(x * (s * gain)[:, :, None, None], weight, padding=k - 1) * demodulation + bias
            x = conv_transpose2d(x, up_filters[0], stride=(up, 1), groups=channels)[:, :, kept]
            x = conv_transpose2d(x, up_filters[1], stride=(1, up), groups=channels)[:, :, :, kept]
            x = leaky_relu(x, 0.2).mul_(math.sqrt(2)).clamp_(-256, 256)
            for filters, stride in down_filters:
                x = conv2d(x, filters, stride=stride, groups=channels)
            return x

        return forward

    features = fourier()
    layers = [layer(*arguments) for arguments in zip(names, extents[:1] + extents, extents)]

    def forward(z):
        w = code(z)
        x = features(w)
        for layer in layers:
            x = layer(x, w)
        return x * 0.25

    return forward


def load_pggan(state):
    from torch.nn.functional import conv2d, interpolate, leaky_relu

    state = state["generator_smooth"]
    layers = []
    while f"layer{len(layers)}.weight" in state:
        weight, bias = state[f"layer{len(layers)}.weight"], state[f"layer{len(layers)}.bias"]
        layers.append((weight * math.sqrt(2 / (weight[0].numel() if layers else 16 * weight.shape[1])), bias))
    last = len(layers) // 2 - 1
    rgb, rgb_bias = state[f"output{last}.weight"], state[f"output{last}.bias"]
    rgb = rgb / math.sqrt(rgb.shape[1])

    def forward(z):
        x = pixel_norm(z)[:, :, None, None]
        for n, (weight, bias) in enumerate(layers):
            x = pixel_norm(x)
            if n > 0 and n % 2 == 0:
                x = interpolate(x, scale_factor=2)
            x = leaky_relu(conv2d(x, weight, bias, padding=3 if n == 0 else 1), 0.2)
        return conv2d(pixel_norm(x), rgb, rgb_bias)

    return forward


def load_biggan_deep(state):
    from torch import bmm, cat, softmax, tanh
    from torch.nn.functional import conv2d, interpolate, linear, max_pool2d, relu

    embedding = state["embeddings.weight"][:, 0][None]

    def norm(name):
        mean, deviation = state[f"{name}.running_means"][50], (state[f"{name}.running_vars"][50] + 1e-4).sqrt()
        scale, offset = state[f"{name}.scale.weight"], state[f"{name}.offset.weight"]

        def forward(x, condition):
            factor = (1 + linear(condition, scale)) / deviation
            shift = linear(condition, offset) - mean * factor
            return relu(x * factor[:, :, None, None] + shift[:, :, None, None])

        return forward

    def block(name, up, inputs, outputs):
        norms = [norm(f"{name}.bn_{i}") for i in range(4)]
        convs = [(state[f"{name}.conv_{i}.weight"], state[f"{name}.conv_{i}.bias"]) for i in range(4)]

        def forward(x, condition):
            h = x
            for i, (normalise, (weight, bias)) in enumerate(zip(norms, convs)):
                h = normalise(h, condition)
                if i == 1 and up:
                    h = interpolate(h, scale_factor=2)
                h = conv2d(h, weight, bias, padding=weight.shape[2] // 2)
            x = x[:, : 128 * outputs] if inputs != outputs else x
            return h + (interpolate(x, scale_factor=2) if up else x)

        return forward

    def attention(name):
        theta, phi, g, out = (state[f"{name}.snconv1x1_{part}.weight"] for part in ("theta", "phi", "g", "o_conv"))
        gamma = state[f"{name}.gamma"]

        def forward(x, _):
            n, channels, height, breadth = x.shape
            queries = conv2d(x, theta).flatten(2)
            keys, values = max_pool2d(conv2d(x, phi), 2).flatten(2), max_pool2d(conv2d(x, g), 2).flatten(2)
            shares = softmax(bmm(queries.transpose(1, 2), keys), -1)
            mixed = bmm(values, shares.transpose(1, 2)).view(n, channels // 2, height, breadth)
            return x + gamma * conv2d(mixed, out)

        return forward

    layers, index = [], 0
    for index, item in enumerate(BIGGAN_DEEP[256]):
        name = f"generator.layers.{index}"
        layers.append(attention(name) if item is None else block(name, *item))
    mean, deviation = state["generator.bn.running_means"][50], (state["generator.bn.running_vars"][50] + 1e-4).sqrt()
    factor = state["generator.bn.weight"] / deviation
    shift = (state["generator.bn.bias"] - mean * factor)[:, None, None]
    factor = factor[:, None, None]
    rgb, rgb_bias = state["generator.conv_to_rgb.weight"][:3].contiguous(), state["generator.conv_to_rgb.bias"][:3]

    def forward(z):
        condition = cat([z, embedding], 1)
        x = linear(condition, state["generator.gen_z.weight"], state["generator.gen_z.bias"])
        x = x.view(-1, 4, 4, 2048).permute(0, 3, 1, 2).contiguous()
        for layer in layers:
            x = layer(x, condition)
        return tanh(conv2d(relu(x * factor + shift), rgb, rgb_bias, padding=1))

    return forward


# name: title, make, load, resolution, width of z, options of `render`, how many times faster SeFa Studio should be
MODELS = {
    "stylegan2-1024": ("StyleGAN2 1024", make_stylegan2, load_stylegan2, 1024, 512, ["--psi", "1"], 3.0),
    "stylegan2-256": ("StyleGAN2 256", make_stylegan2, load_stylegan2, 256, 512, ["--psi", "1"], 1.5),
    "stylegan2-64": ("StyleGAN2 64", make_stylegan2, load_stylegan2, 64, 512, ["--psi", "1"], 1.2),
    "stylegan3-t-256": ("StyleGAN3-T 256", partial(make_stylegan3, "t"), load_stylegan3, 256, 512, ["--psi", "1"], 2.0),
    "stylegan3-r-256": ("StyleGAN3-R 256", partial(make_stylegan3, "r"), load_stylegan3, 256, 512, ["--psi", "1"], 2.0),
    "stylegan-1024": ("StyleGAN 1024", make_stylegan, load_stylegan, 1024, 512, ["--psi", "1"], 2.0),
    "pggan-1024": ("PGGAN 1024", make_pggan, load_pggan, 1024, 512, [], 2.0),
    "biggan-deep-256": ("BigGAN-deep 256", make_biggan_deep, load_biggan_deep, 256, 128, ["--psi", "1"], 2.0),
}
SEFA_TARGET, MEMORY_TARGET, GPU_TARGET, GPU_F16_TARGET = 5.0, 2.0, 1.0, 0.8


# ---- measurements, each in a process of its own ----


def make(name, folder):
    import numpy
    import torch

    torch.manual_seed(0)
    _, make, _, resolution, z_dim, *_ = MODELS[name]
    torch.save(make(resolution), folder / "model.pth")
    numpy.save(folder / "z.npy", torch.randn(1, z_dim).numpy())


def measure_pytorch(name, folder, arguments):
    start = time.perf_counter()
    import numpy
    import torch

    device = "cuda" if arguments.gpu else "cpu"
    finish = torch.cuda.synchronize if arguments.gpu else lambda: None
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    torch.set_default_device(device)
    imported = time.perf_counter() - start
    state = torch.load(folder / "model.pth", map_location=device)
    if arguments.gpu:
        maps = {n: v.contiguous(memory_format=torch.channels_last) for n, v in state.items() if v.dim() == 4}
        state |= maps
    forward = MODELS[name][2](state)
    if arguments.compile:
        forward = torch.compile(forward)
    if arguments.precision == "f16":
        forward = torch.autocast(device, torch.float16)(forward)
    z = torch.from_numpy(numpy.load(folder / "z.npy")).to(device)
    loaded = time.perf_counter() - start
    picture = forward(z)
    finish()
    first = time.perf_counter() - start
    numpy.save(folder / "expected.npy", picture[0].float().cpu().numpy())
    times = []
    for _ in range(arguments.frames):
        z, start = torch.randn_like(z), time.perf_counter()
        forward(z)
        finish()
        times.append(1e3 * (time.perf_counter() - start))
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "times": times,
        "import_ms": 1e3 * imported,
        "load_ms": 1e3 * (loaded - imported),
        "first_ms": 1e3 * first,
        "peak_rss_mb": usage / 1e6,
    }


def measure_sefa(folder):
    """Milliseconds of the procedure of SeFa's released code: normalise, Gram matrix, general eigen solver."""
    import numpy
    import torch

    state = torch.load(folder / "model.pth")
    last = max(int(name.split(".")[1][1:]) for name in state if name.endswith(".torgb.weight"))
    names = [n for n in state if n.endswith("affine.weight") and "torgb" not in n]
    rows = [state[name].numpy().T for name in names + [f"synthesis.b{last}.torgb.affine.weight"]]
    start = time.perf_counter()
    weight = numpy.concatenate(rows, axis=1).astype(numpy.float32)
    weight = weight / numpy.linalg.norm(weight, axis=0, keepdims=True)
    numpy.linalg.eig(weight @ weight.T)
    return 1e3 * (time.perf_counter() - start)


def difference(folder):
    import numpy

    expected, found = numpy.load(folder / "expected.npy"), numpy.load(folder / "out" / "frame_0000.npy")
    assert expected.shape == found.shape, f"expected a picture of {expected.shape}, found {found.shape}"
    return {"difference": float(numpy.abs(expected - found).max()), "largest": float(numpy.abs(expected).max())}


def child(arguments, *job):
    """Runs a part of this file in a new process; returns what it printed."""
    command = [sys.executable, __file__, "--program", arguments.program, "--part", *map(str, job)]
    command += ["--frames", str(arguments.frames), "--threads", str(arguments.threads)]
    command += ["--precision", arguments.precision] + ["--gpu"] * arguments.gpu + ["--compile"] * arguments.compile
    output = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True).stdout
    return json.loads(output)


def studio(arguments, *words):
    device = "gpu" if arguments.gpu else "cpu"
    command = [arguments.program, *map(str, words), "--device", device, "--precision", arguments.precision]
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True).stdout


def compare(name, arguments):
    options = MODELS[name][5]
    with tempfile.TemporaryDirectory(prefix="sefa-studio-") as folder:
        folder = pathlib.Path(folder)
        child(arguments, "make", name, folder)
        model, torch, ours, sefa = folder / "model.pth", [], [], []
        for turn in range(arguments.rounds):
            print(f"{name}: round {turn + 1} of {arguments.rounds}", file=sys.stderr)
            torch.append(child(arguments, "pytorch", name, folder))
            ours.append(json.loads(studio(arguments, "bench", model, "--frames", arguments.frames, "--json")))
            if name == "stylegan2-1024":
                sefa.append(child(arguments, "sefa", name, folder)["ms"])
        classes = ["--classes", "0"] if name.startswith("biggan") else []
        codes = ["--latents", folder / "z.npy", *options, *classes]
        studio(arguments, "render", model, "--out", folder / "out", "--raw", *codes)
        return {"name": name, "torch": torch, "ours": ours, "sefa": sefa} | child(arguments, "difference", name, folder)


# ---- the report ----


def middle(values):
    return statistics.median(values)


def verdict(ratio, target):
    return f"**{ratio:.2f}x**" if ratio >= target else f"{ratio:.2f}x (below {target:g}x)"


def report(results, arguments):
    device = results[0]["ours"][0]["device"]
    side = f"on CUDA, {arguments.precision}" if arguments.gpu else f"with {arguments.threads} threads"
    print(f"\nPyTorch {side}{', compiled' * arguments.compile} against {device};", end=" ")
    print(f"{arguments.rounds} rounds of {arguments.frames} frames in turns:")
    print("medians, with the fastest frame of all rounds in brackets. First picture: from importing or opening.\n")
    columns = ["", "frame, PyTorch ms", "frame, ours ms", "faster", "by the fastest", "first picture, s"]
    columns += ["peak memory, MB", "smaller", "pictures differ by"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for result in results:
        title, *_, target = MODELS[result["name"]]
        target = {"f32": GPU_TARGET, "f16": GPU_F16_TARGET}[arguments.precision] if arguments.gpu else target
        torch, ours = result["torch"], result["ours"]
        a, b = middle([t for run in torch for t in run["times"]]), middle([run["frame_ms"] for run in ours])
        fastest = min(t for run in torch for t in run["times"]), min(run["frame_min_ms"] for run in ours)
        opened = [run["load_ms"] + run["first_frame_ms"] for run in ours]
        first = middle([run["first_ms"] for run in torch]), middle(opened)
        memory = [middle([run["peak_rss_mb"] for run in runs]) for runs in (torch, ours)]
        cells = [title, f"{a:.0f} ({fastest[0]:.0f})", f"{b:.0f} ({fastest[1]:.0f})", verdict(a / b, target)]
        cells += [f"{fastest[0] / fastest[1]:.2f}x", f"{first[0] / 1e3:.2f} / {first[1] / 1e3:.2f}"]
        cells += [f"{memory[0]:.0f} / {memory[1]:.0f}", verdict(memory[0] / memory[1], MEMORY_TARGET)]
        print("|", " | ".join(cells), f"| {result['difference']:.1e} (values to {result['largest']:.1f}) |")
    for result in results:
        if result["sefa"]:
            a, b = middle(result["sefa"]), middle([run["factorize_ms"] for run in result["ours"]])
            again = middle([run["factorize_again_ms"] for run in result["ours"]])
            fastest = min(result["sefa"]), min(run["factorize_ms"] for run in result["ours"])
            title = MODELS[result["name"]][0]
            print(f"\nSeFa, all layers of {title}: numpy {a:.0f} ms (fastest {fastest[0]:.0f}),", end=" ")
            print(f"ours {b:.0f} ms (fastest {fastest[1]:.0f}), {verdict(a / b, SEFA_TARGET)};", end=" ")
            print(f"another layer range after that {again:.1f} ms.")
    for result in results:
        runs = result["ours"]
        stages = zip(*([stage | {"run": run} for stage in run["stages"]] for run in runs))
        parts = [f"{stage[0]['name']} {middle([run['ms'] for run in stage]):.1f}" for stage in stages]
        drag = middle([run["drag_top_ms"] for run in runs])
        ceiling = max(run["ceiling_gflops"] for run in runs)
        speeds = [run["frame_gflops"] for run in runs if run["frame_gflops"]]
        speed = f", {middle(speeds):.0f} GFLOP/s of {ceiling:.0f}" if speeds else f", ceiling {ceiling:.0f} GFLOP/s"
        print(f"\n{MODELS[result['name']][0]}: top-layer move {drag:.0f} ms{speed}; stages in ms: {', '.join(parts)}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    names = list(MODELS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="MODEL", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side [default: 3]")
    parser.add_argument("--frames", type=int, default=4, help="frames of a process after the first [default: 4]")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help="PyTorch's threads [default: all cores]")
    parser.add_argument("--gpu", action="store_true", help="PyTorch on CUDA against wgpu; host memory is compared")
    precisions = ["f32", "f16"]
    parser.add_argument("--precision", choices=precisions, default="f32", help="of both, on a GPU [default: f32]")
    parser.add_argument("--compile", action="store_true", help="let PyTorch compile its forward")
    arguments = parser.parse_args()
    if arguments.precision == "f16" and not arguments.gpu:
        parser.error("f16 is for GPUs: add --gpu")
    if arguments.part:
        part, name, folder = arguments.part[0], arguments.part[1], pathlib.Path(arguments.part[2])
        parts = {
            "make": lambda: make(name, folder),
            "pytorch": lambda: measure_pytorch(name, folder, arguments),
            "sefa": lambda: {"ms": measure_sefa(folder)},
            "difference": lambda: difference(folder),
        }
        print(json.dumps(parts[part]()))
        return
    if arguments.gpu:
        import torch

        if not torch.cuda.is_available():
            sys.exit("error: this PyTorch sees no CUDA device")
    results = [compare(name, arguments) for name in arguments.only]
    report(results, arguments)
    limit = LARGEST_DIFFERENCE["gpu" if arguments.gpu else "cpu"]
    wrong = [result["name"] for result in results if not result["difference"] <= limit]
    if wrong:
        sys.exit(f"error: pictures differ by more than {limit:g}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
