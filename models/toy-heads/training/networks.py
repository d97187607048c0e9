"""StyleGAN2 (Karras et al., CVPR 2020) as small as it can be: a skip generator with NVIDIA's tensor names and a residual discriminator.

Pictures are [n, 3, height, width] in [-1, 1]. Convolutions run in `dtype` (bfloat16 on processors that have it), everything that
decides the picture's accuracy (mapping, styles, demodulation, RGB sums, logits) in float32. Activations are channels-last.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

SQRT2 = math.sqrt(2)
BLUR = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8  # the only resampling filter, applied along both axes


# Standard deviation of fresh style weights, unless told. With 1, as published, what a short training learns drowns in what was
# random at its start, and so do the eigenvectors of the style weights.
STYLE_SPREAD = 0.1


def channels(resolution: int, base: int, maximum: int) -> int:
    return min(base // resolution, maximum)


def leaky(x):
    """Leaky ReLU of slope 0.2. Its variance gain of sqrt 2 is part of the scale and bias before it: one pass less."""
    return F.leaky_relu(x, 0.2)


class Halve(torch.autograd.Function):
    """Halves the resolution through the filter. Its gradient is `Double`: PyTorch's own for depthwise strides is 20 times slower."""

    @staticmethod
    def forward(ctx, x):
        kernel = torch.outer(BLUR, BLUR).to(x)[None, None].expand(x.shape[1], 1, 4, 4)
        return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx, gradient):
        return Double.apply(gradient) / 4


class Double(torch.autograd.Function):
    """Doubles the resolution: zeros in between, then the filter, which is bilinear interpolation inside a frame of zeros."""

    @staticmethod
    def forward(ctx, x):
        x = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
        return x[:, :, 2:-2, 2:-2]

    @staticmethod
    def backward(ctx, gradient):
        return Halve.apply(gradient) * 4


def upsampling_phases():
    """How a 3x3 kernel, a transposed convolution of stride 2 and the filter after it (gain 4) become one 3x3 convolution of the small
    picture for each of the 2x2 pixels that a pixel becomes: [2 * 2, 3 * 3, 3 * 3] from (pixel, tap of that, tap of the kernel).
    """
    line = torch.zeros(2, 3, 3)
    for a in range(2):
        for e in range(3):
            for k in range(3):
                if 0 <= (t := k - a + 2 * (e - 1) + 1) < 4:
                    line[a, e, k] = 2 * BLUR[t]
    return torch.einsum("aek,bfl->abefkl", line, line).reshape(4, 9, 9)


PHASES = upsampling_phases()


def convolve_up(x, weight):
    """Transposed 3x3 convolution of stride 2, then the filter: x [n, c, h, w], weight [o, c, 3, 3] -> [n, o, 2h, 2w].

    Four times the products of the separate steps, but dense ones, and nothing of the doubled size but the result.
    """
    outputs, inputs = weight.shape[:2]
    kernels = torch.einsum("oct,pst->pocs", weight.flatten(2), PHASES.to(weight)).reshape(4 * outputs, inputs, 3, 3)
    y = F.conv2d(x, kernels.to(x).contiguous(memory_format=torch.channels_last), padding=1)
    n, _, height, width = y.shape
    y = y.permute(0, 2, 3, 1).reshape(n, height, width, 2, 2, outputs).permute(0, 1, 3, 2, 4, 5)
    return y.reshape(n, 2 * height, 2 * width, outputs).permute(0, 3, 1, 2)


class Linear(nn.Module):
    """A linear layer with equalised learning rate: the stored weight is scaled when it is used."""

    def __init__(self, inputs, outputs, rate=1.0, bias=0.0, spread=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (spread / rate))
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.weight_gain, self.bias_gain = rate / math.sqrt(inputs), rate

    def forward(self, x):
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class Mapping(nn.Module):
    """z [n, z] -> w [n, w]."""

    def __init__(self, width, layers):
        super().__init__()
        self.layers = layers
        for index in range(layers):
            setattr(self, f"fc{index}", Linear(width, width, rate=0.01))
        self.register_buffer("w_avg", torch.zeros(width))

    def forward(self, z):
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for index in range(self.layers):
            x = SQRT2 * leaky(getattr(self, f"fc{index}")(x))
        return x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; doubles the resolution if `up`."""

    def __init__(self, inputs, outputs, width, resolution, up, style_spread):
        super().__init__()
        self.up = up
        self.affine = Linear(width, inputs, bias=1.0, spread=style_spread)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", torch.outer(BLUR, BLUR))
        self.gain = 1 / math.sqrt(inputs * 9)

    def forward(self, x, w, noise):
        style = self.affine(w)
        weight = self.weight * self.gain
        demodulation = (style.square() @ weight.square().sum((2, 3)).t() + 1e-8).rsqrt()
        x = x * style.to(x)[:, :, None, None]
        x = convolve_up(x, weight) if self.up else F.conv2d(x, weight.to(x), padding=1)
        n, _, height, width = x.shape
        scale, shift = (SQRT2 * demodulation).to(x)[:, :, None, None], (SQRT2 * self.bias).to(x)[None, :, None, None]
        if noise is not None:
            noise = torch.randn(n, 1, height, width, device=x.device, dtype=x.dtype) if noise == "random" else self.noise_const.to(x)
            shift = noise * (SQRT2 * self.noise_strength).to(x) + shift
        return leaky(torch.addcmul(shift, x, scale))


class ToRGB(nn.Module):
    """Modulated 1x1 convolution without demodulation. Starts black, so that a new resolution changes nothing at first."""

    def __init__(self, inputs, width, style_spread):
        super().__init__()
        self.affine = Linear(width, inputs, bias=1.0, spread=style_spread)
        self.weight = nn.Parameter(torch.zeros(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x, w):
        style = self.affine(w) * self.gain
        return F.conv2d(x * style.to(x)[:, :, None, None], self.weight.to(x)).float() + self.bias[None, :, None, None]


class SynthesisBlock(nn.Module):
    def __init__(self, resolution, inputs, outputs, width, style_spread):
        super().__init__()
        if inputs is None:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = StyledConv(inputs, outputs, width, resolution, True, style_spread)
        self.conv1 = StyledConv(outputs, outputs, width, resolution, False, style_spread)
        self.torgb = ToRGB(outputs, width, style_spread)


class Synthesis(nn.Module):
    def __init__(self, resolution, base, maximum, width, style_spread):
        super().__init__()
        self.resolutions = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
        inputs = None
        for r in self.resolutions:
            outputs = channels(r, base, maximum)
            setattr(self, f"b{r}", SynthesisBlock(r, inputs, outputs, width, style_spread))
            inputs = outputs

    def forward(self, ws, noise="random", dtype=torch.float32, resolution=None):
        """ws [n, layers, w] -> pictures of `resolution`, or of the last one. `noise` is "random", "const" or None."""
        rgb, layer = None, 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            if r == 4:
                x = block.const.to(dtype)[None].expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            else:
                x = block.conv0(x, ws[:, layer], noise)
                layer += 1
            x = block.conv1(x, ws[:, layer], noise)
            layer += 1
            y = block.torgb(x, ws[:, layer])  # shares its w with the next block's first layer
            rgb = y if rgb is None else Double.apply(rgb) + y
            if r == resolution:
                break
        return rgb


class Generator(nn.Module):
    def __init__(self, resolution, base, maximum, width, mapping_layers, style_spread=STYLE_SPREAD):
        super().__init__()
        self.mapping = Mapping(width, mapping_layers)
        self.synthesis = Synthesis(resolution, base, maximum, width, style_spread)
        self.z_dim, self.num_ws = width, 2 * len(self.synthesis.resolutions)

    def forward(self, z, psi=1.0, dtype=torch.float32, resolution=None):
        w = self.mapping(z)
        w = self.mapping.w_avg + psi * (w - self.mapping.w_avg)
        return self.synthesis(w[:, None].expand(-1, self.num_ws, -1), "const", dtype, resolution)


class EqualConv(nn.Module):
    """A convolution with equalised learning rate, and the gain of the leaky ReLU that follows it."""

    def __init__(self, inputs, outputs, size, activated=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activated else None
        self.activation_gain = SQRT2 if activated else 1.0
        self.gain = self.activation_gain / math.sqrt(inputs * size * size)

    def forward(self, x):
        bias = None if self.bias is None else (self.bias * self.activation_gain).to(x)
        return F.conv2d(x, (self.weight * self.gain).to(x), bias, padding=self.weight.shape[2] // 2)


class DiscriminatorBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv0 = EqualConv(inputs, inputs, 3)
        self.conv1 = EqualConv(inputs, outputs, 3)
        self.skip = EqualConv(inputs, outputs, 1, activated=False)

    def forward(self, x):
        y = leaky(self.conv1(F.avg_pool2d(leaky(self.conv0(x)), 2)))
        return (y + self.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Pictures of any resolution up to `resolution` -> logits [n]. Every resolution has its own first layer, so that a training
    can begin with small pictures and grow (PGGAN, section 2).
    """

    def __init__(self, resolution, base, maximum):
        super().__init__()
        sizes = [2**i for i in range(int(math.log2(resolution)), 2, -1)]
        width = lambda r: channels(r, base, maximum)
        self.fromrgb = nn.ModuleDict({str(r): EqualConv(3, width(r), 1) for r in sizes})
        self.blocks = nn.ModuleDict({str(r): DiscriminatorBlock(width(r), width(r // 2)) for r in sizes})
        self.conv = EqualConv(width(4) + 1, width(4), 3)
        self.hidden = Linear(width(4) * 16, width(4))
        self.logit = Linear(width(4), 1)

    def forward(self, picture, dtype=torch.float32, fade=1.0, features=None):
        """`fade` below 1 mixes in the first layer of half the resolution, which was trained before. A list `features` receives what
        comes out of each block, the finest first.
        """
        picture = picture.to(dtype)
        r = picture.shape[2]
        x = self.blocks[str(r)](leaky(self.fromrgb[str(r)](picture)))
        if fade < 1:
            x = torch.lerp(leaky(self.fromrgb[str(r // 2)](F.avg_pool2d(picture, 2))), x, fade)
        kept = [x]
        while (r := r // 2) > 4:
            x = self.blocks[str(r)](x)
            kept.append(x)
        if features is not None:
            features += kept
        x = x.float()
        # Standard deviation over groups of four pictures (PGGAN, section 3): a mode collapse is visible.
        group = min(4, len(x))
        spread = (x.reshape(group, -1, *x.shape[1:]).var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        spread = spread.repeat(group)[:, None, None, None].expand(-1, 1, 4, 4)
        x = leaky(self.conv(torch.cat([x, spread], 1)))
        return self.logit(SQRT2 * leaky(self.hidden(x.flatten(1)))).squeeze(1)
