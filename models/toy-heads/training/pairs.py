"""What z means. Every factor of a head has its own coordinate of z (a hue has two); the mapping network, which is made here and not
trained, bends each coordinate to its factor's distribution; and each group of layers reads the coordinates of its own factors only.

So a fresh z ~ N(0, I) is a head as the data set has them, the picture that z stands for can be rendered, and style mixing takes the
shape from one z, the features from another, the colours from a third, because that is how the style weights are wired.

A *code* v [n, WIDTH] is w less an offset that keeps the mapping's last leaky ReLU in its upper half:

    bell       v = z                                   deviation 1, the range of the factor is -2..2
    uniform    v = piecewise linear in z               the range of the factor is -sqrt 3..sqrt 3
    switch     v = 0 or ON, with a steep ramp between  on above ON / 2
    hue        two v, cosine and sine of the angle     a hexagon about the circle
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch

WIDTH = 128  # of z, w and the mapping's hidden layer
SHAPE, FEATURE, COLOUR = "shape", "feature", "colour"
GROUPS = {SHAPE: (0, 2), FEATURE: (2, 6), COLOUR: (6, 12)}  # first layer and end: bottom, middle, top
BELL, UNIFORM, HUE = "bell", "uniform", "hue"

# The order of the renderer's columns: name, group, distribution (a number: a switch with this chance), lowest, highest value.
FACTORS = [
    ("yaw", SHAPE, BELL, -0.75, 0.75),
    ("pitch", SHAPE, BELL, -0.32, 0.32),
    ("roll", SHAPE, BELL, -0.15, 0.15),
    ("head_width", SHAPE, BELL, 0.88, 1.12),
    ("head_height", SHAPE, BELL, 0.92, 1.1),
    ("jaw_width", SHAPE, BELL, 0.78, 1.2),
    ("skin_tone", COLOUR, UNIFORM, 0.0, 1.0),
    ("skin_warmth", COLOUR, BELL, -1.0, 1.0),
    ("bald", SHAPE, 0.08, 0.0, 1.0),
    ("hair_length", SHAPE, UNIFORM, 0.0, 1.0),
    ("hair_volume", SHAPE, BELL, 0.0, 1.0),
    ("fringe", FEATURE, UNIFORM, 0.0, 1.0),
    ("parting", FEATURE, BELL, -1.0, 1.0),
    ("hair_tone", COLOUR, UNIFORM, 0.0, 1.0),
    ("hair_fancy", COLOUR, 0.3, 0.0, 1.0),
    ("hair_hue", COLOUR, HUE, 0.0, 1.0),
    ("hair_light", COLOUR, BELL, -1.0, 1.0),
    ("curl", FEATURE, UNIFORM, 0.0, 1.0),
    ("bun", SHAPE, 0.12, 0.0, 1.0),
    ("pigtails", SHAPE, 0.08, 0.0, 1.0),
    ("hat_beanie", SHAPE, 0.09, 0.0, 1.0),
    ("hat_bowler", SHAPE, 0.05, 0.0, 1.0),
    ("hat_cap", SHAPE, 0.05, 0.0, 1.0),
    ("hat_hue", COLOUR, HUE, 0.0, 1.0),
    ("beard", FEATURE, 0.18, 0.0, 1.0),
    ("glasses", FEATURE, 0.25, 0.0, 1.0),
    ("glasses_hue", COLOUR, HUE, 0.0, 1.0),
    ("ear_rings", FEATURE, 0.25, 0.0, 1.0),
    ("brow_height", FEATURE, BELL, 0.0, 1.0),
    ("brow_angle", FEATURE, BELL, -1.0, 1.0),
    ("brow_thickness", FEATURE, UNIFORM, 0.0, 1.0),
    ("eye_size", FEATURE, BELL, 0.82, 1.18),
    ("eye_spacing", FEATURE, BELL, 0.9, 1.12),
    ("eye_open", FEATURE, BELL, 0.4, 1.0),
    ("gaze_x", FEATURE, BELL, -1.0, 1.0),
    ("gaze_y", FEATURE, BELL, -1.0, 1.0),
    ("iris", COLOUR, UNIFORM, 0.0, 1.0),
    ("nose_size", FEATURE, BELL, 0.7, 1.4),
    ("smile", FEATURE, BELL, -0.5, 1.0),
    ("mouth_open", FEATURE, UNIFORM, 0.0, 1.0),
    ("mouth_width", FEATURE, BELL, 0.8, 1.2),
    ("blush", COLOUR, UNIFORM, 0.0, 1.0),
    ("shirt_hue", COLOUR, HUE, 0.0, 1.0),
    ("shirt_light", COLOUR, UNIFORM, 0.0, 1.0),
    ("collar", FEATURE, 0.35, 0.0, 1.0),
    ("ground_hue", COLOUR, HUE, 0.0, 1.0),
    ("ground_light", COLOUR, UNIFORM, 0.0, 1.0),
    ("light_side", COLOUR, UNIFORM, -1.0, 1.0),
    ("light_height", COLOUR, UNIFORM, 0.0, 1.0),
    ("light_warmth", COLOUR, BELL, -1.0, 1.0),
]
BELL_LIMIT, UNIFORM_LIMIT = 2.0, math.sqrt(3)
ON = 3.0  # a switch's code
# A factor whose v is smaller needs longer columns in the style weights, and comes earlier among the directions.
UNITS = {"yaw": 0.7}
STEEP = 20.0  # a switch's ramp: its width is 1 / STEEP deviations of z
OFFSET = 2.0  # of w over v, except for switches, which are never negative
UNIFORM_KNOTS = (0.8, 2.1)
HUE_DIRECTIONS = [(math.cos(a), math.sin(a)) for a in (0, math.pi / 3, 2 * math.pi / 3)]
HUE_RAMP, HUE_RADIUS = 0.6, 1.25
SLOPE = 0.2  # of the leaky ReLU


@dataclass
class Coordinate:
    """A factor's place in z and v: `first`, and `first + 1` for a hue."""

    name: str
    group: str
    kind: object
    low: float
    high: float
    first: int


def layout():
    # Each part of z in one piece: shape, feature, colour, then noise that nothing reads.
    coordinates, first = {}, 0
    for group in GROUPS:
        for name, of, kind, low, high in FACTORS:
            if of == group:
                coordinates[name] = Coordinate(name, group, kind, low, high, first)
                first += 2 if kind == HUE else 1
    return [coordinates[name] for name, *_ in FACTORS], first


COORDINATES, USED = layout()
SWITCHES = [c for c in COORDINATES if isinstance(c.kind, float)]
SCALARS = [c for c in COORDINATES if c.kind in (BELL, UNIFORM)]
HUES = [c for c in COORDINATES if c.kind == HUE]


def unit(coordinate):
    return UNITS.get(coordinate.name, 1.0)


def limit(coordinate):
    """Up to which |v| a scalar factor has its range."""
    return unit(coordinate) * (BELL_LIMIT if coordinate.kind == BELL else UNIFORM_LIMIT)


def columns(group):
    """Which coordinates of v a group of layers reads: bool [WIDTH]."""
    mask = torch.zeros(WIDTH, dtype=torch.bool)
    for c in COORDINATES:
        if c.group == group:
            mask[c.first : c.first + (2 if c.kind == HUE else 1)] = True
    return mask


def offsets():
    """w - v [WIDTH]."""
    offset = torch.full((WIDTH,), OFFSET)
    offset[USED:] = 0
    for c in SWITCHES:
        offset[c.first] = 0
    return offset


def mapping_weights():
    """The two layers (weight, bias) as plain affine maps: w = leaky(W1 leaky(W0 u + b0) + b1), u = z of unit mean square."""
    inner, inner_bias = torch.zeros(WIDTH, WIDTH), torch.zeros(WIDTH)
    outer, outer_bias = torch.zeros(WIDTH, WIDTH), offsets()
    rows = iter(range(WIDTH))

    def add(inputs, bias):
        row = next(rows)
        for index, weight in inputs:
            inner[row, index] = weight
        inner_bias[row] = bias
        return row

    def clamp(inputs, half):
        """Two units whose difference, scaled and shifted, is the sum of the inputs clamped to -half..half."""
        # leaky(x + half) - leaky(x - half) runs from 2 half SLOPE to 2 half: its own slopes cancel outside.
        gain = 1 / (1 - SLOPE)
        return [(add(inputs, half), gain), (add(inputs, -half), -gain)], -half * (1 + SLOPE) * gain

    def connect(index, parts, shift, scale=1.0):
        for part, weight in parts:
            outer[index, part] += scale * weight
        outer_bias[index] += scale * shift

    for c in COORDINATES:
        if c.kind == BELL:
            away = 6.0  # far enough that the leaky ReLU is never in its lower half
            connect(c.first, [(add([(c.first, 1.0)], away), 1.0)], -away, scale=unit(c))
        elif c.kind == UNIFORM:
            # sqrt 3 (2 Phi(z) - 1) by a steep middle and flatter ends: two clamps that share the rise.
            near, far = UNIFORM_KNOTS
            at_near = UNIFORM_LIMIT * (2 * NormalDist().cdf(near) - 1)
            flat = (UNIFORM_LIMIT - at_near) / (far - near)
            connect(c.first, *clamp([(c.first, 1.0)], near), scale=at_near / near - flat)
            connect(c.first, *clamp([(c.first, 1.0)], far), scale=flat)
        elif c.kind == HUE:
            for direction in HUE_DIRECTIONS:
                parts, shift = clamp([(c.first + i, direction[i]) for i in (0, 1)], HUE_RAMP)
                for i in (0, 1):
                    connect(c.first + i, parts, shift, scale=HUE_RADIUS / 1.87 / HUE_RAMP * direction[i])
        else:
            threshold = NormalDist().inv_cdf(1 - c.kind)
            inputs, bias = [(c.first, STEEP)], -STEEP * threshold
            upper, lower = add(inputs, bias + 0.5), add(inputs, bias - 0.5)
            gain = ON / (1 - SLOPE)
            connect(c.first, [(upper, gain), (lower, -gain)], -gain * SLOPE)
    return (inner, inner_bias), (outer, outer_bias)


def set_mapping(mapping):
    """Puts the mapping into a `networks.Mapping` of two layers, in its stored scale and in numbers that half precision holds."""
    with torch.no_grad():
        for index, (weight, bias) in enumerate(mapping_weights()):
            layer = getattr(mapping, f"fc{index}")
            layer.weight.copy_((weight / (layer.weight_gain * math.sqrt(2))).half())
            layer.bias.copy_((bias / (layer.bias_gain * math.sqrt(2))).half())
        z = torch.randn(200_000, WIDTH, generator=torch.Generator().manual_seed(0)).to(mapping.w_avg)
        mapping.w_avg.copy_(mapping(z).mean(0))


def factors_of(v):
    """Codes [n, WIDTH] -> the renderer's factors float32 [n, 50]; beyond a factor's range its end is meant."""
    v = v.numpy()
    table = np.empty((len(v), len(COORDINATES)), np.float32)
    for column, c in enumerate(COORDINATES):
        x = v[:, c.first]
        if c.kind == HUE:
            table[:, column] = np.arctan2(v[:, c.first + 1], x) / (2 * math.pi) % 1.0
        elif isinstance(c.kind, float):
            table[:, column] = x > 0.5 * ON
        else:
            share = np.clip(x / limit(c), -1, 1) * 0.5 + 0.5
            table[:, column] = c.low + (c.high - c.low) * share
    return table


class Sampler:
    """Draws codes for training: those of z ~ N(0, I), and some beyond the ends of a factor, where sliders go: there the head stays
    as it is at the end.
    """

    def __init__(self, mapping, seed, beyond=0.03, furthest=1.5):
        self.mapping, self.random = mapping, torch.Generator().manual_seed(seed)
        self.beyond, self.furthest = beyond, furthest

    def codes(self, count):
        draw = lambda shape: torch.rand(shape, generator=self.random)
        with torch.no_grad():
            v = self.mapping(torch.randn(count, WIDTH, generator=self.random)) - offsets()
        ends = torch.tensor([limit(c) for c in SCALARS])
        ends = (ends + self.furthest * draw((count, len(ends)))) * (draw((count, len(ends))) - 0.5).sign()
        places = torch.tensor([c.first for c in SCALARS])
        v[:, places] = torch.where(draw(ends.shape) < self.beyond, ends, v[:, places])
        places = torch.tensor([c.first for c in SWITCHES])
        out = self.furthest * draw((count, len(places))) * (draw((count, len(places))) < 3 * self.beyond)
        v[:, places] += out * (v[:, places] - 0.5 * ON).sign()
        return v


class Truncation:
    """Codes as truncation leaves them, for training. Other factors are then still within their range, but a switch is half on
    and a hue's circle small: the synthesis learns to show a whole pair of glasses, and the full hue.
    """

    def __init__(self, mapping, device, least=0.5):
        self.least = least
        self.average = (mapping.w_avg.cpu() - offsets()).to(device)
        self.which = torch.zeros(WIDTH, dtype=torch.bool)
        for c in (*SWITCHES, *HUES):
            self.which[c.first : c.first + (2 if c.kind == HUE else 1)] = True
        self.which = self.which.to(device)

    def __call__(self, v):
        psi = (self.least + 2 * (1 - self.least) * torch.rand(len(v), 1, device=v.device)).clamp(max=1)  # half of them at 1
        return torch.where(self.which, torch.lerp(self.average.expand_as(v), v, psi), v)
