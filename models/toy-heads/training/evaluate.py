"""Measures a trained generator: distance to the data, diversity, spectrum, and what each SeFa direction does to the known factors.

    python evaluate.py --data DATA --generator RUN/generator.safetensors --regressor regressor.pth --out FOLDER

SeFa here is the closed form of the paper (section 3.2) on the row-normalised style weights of a group of layers. FOLDER receives
`report.md`, `names.json` (names of directions, for the file's metadata), `samples.jpg`, `directions.jpg`, and `expected.safetensors`
(z, w and pictures in float32, for the program's tests).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from factors import HELD_OUT, Regressor, distance_of, gaussian
from networks import Generator
from pictures import Pictures, best_dtype, to_bytes, to_network

GROUPS = {"bottom": (0, 1), "middle": (2, 5), "top": (6, None), "all": (0, None)}
DIRECTIONS = 10
NAMED_FROM = 0.1  # deviations per unit: a weaker direction gets no name
# What users call the factors; the others have their own name.
NAMES = {
    "yaw": "turn", "pitch": "nod", "roll": "tilt", "skin_tone": "skin", "light_side": "light side", "light_height": "light height",
    "hair_tone": "hair colour", "hair_hue": "hair colour", "hair_fancy": "dyed hair", "hair_light": "hair lightness",
    "curl": "curls", "ground_hue": "background", "ground_light": "background lightness", "shirt_hue": "shirt",
    "mouth_open": "open mouth", "eye_open": "open eyes", "gaze_x": "gaze", "gaze_y": "gaze up", "ear_rings": "ear rings",
    "hat_beanie": "beanie", "hat_bowler": "bowler", "hat_cap": "cap", "head_width": "wide head", "head_height": "tall head",
}


def open_generator(path, device="cpu"):
    """A generator's state dict, as .pth or .safetensors, of any precision."""
    path = Path(path)
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    state = {name: tensor.float() for name, tensor in state.items()}
    resolutions = sorted(int(name.split(".")[1][1:]) for name in state if name.endswith("torgb.bias"))
    widths = [state[f"synthesis.b{r}.torgb.weight"].shape[1] for r in resolutions]
    mapping_layers = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in state)
    generator = Generator(resolutions[-1], widths[-1] * resolutions[-1], max(widths), state["mapping.w_avg"].shape[0], mapping_layers)
    kept = generator.state_dict()  # what a file need not hold: the filters
    generator.load_state_dict({name: state.get(name, kept[name]) for name in kept})
    return generator.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def style_weights(generator):
    """Style weights by layer: those of the convolutions, and of the last RGB layer (as in the authors' code)."""
    blocks = [getattr(generator.synthesis, f"b{r}") for r in generator.synthesis.resolutions]
    convolutions = [getattr(block, name) for block in blocks for name in ("conv0", "conv1") if hasattr(block, name)]
    return [layer.affine.weight for layer in (*convolutions, blocks[-1].torgb)]


def shares(rows):
    """Eigenvalues of AᵀA as shares of their sum, descending, and eigenvectors as rows; A has unit rows. As in the program, the
    component of largest magnitude is positive.
    """
    rows = rows / rows.norm(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh((rows.T @ rows).double().cpu())
    vectors = vectors.T.flip(0)
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return (values / values.sum()).flip(0).tolist(), vectors.float()


def group_rows(layers, group):
    first, last = GROUPS[group]
    last = len(layers) - 1 if last is None else last
    return f"{first}-{last}", torch.cat(layers[first : last + 1])


def features_and_factors(regressor, batches):
    pairs = [(regressor.features(x), regressor(x)) for x in batches]
    return torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs])


def nearest(a, b):
    """Distance of each row of `a` to the nearest of `b`."""
    return torch.cat([torch.cdist(part, b).min(1).values for part in a.split(500)])


def within(a, b, k=3):
    """Share of rows of `a` inside the balls that reach from each row of `b` to its k-th neighbour (Kynkäänniemi et al., 2019)."""
    radius = torch.cat([torch.cdist(part, b).kthvalue(k + 1).values for part in b.split(500)])
    return float(torch.cat([(torch.cdist(part, b) < radius).any(1) for part in a.split(500)]).float().mean())


def report_distance(regressor, generator, pictures, count, out):
    device = next(regressor.parameters()).device
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(1)).to(device)
    chosen = torch.randperm(len(pictures) - HELD_OUT, generator=torch.Generator().manual_seed(0))[:count].to(pictures.device)
    read = lambda pictures: features_and_factors(regressor, (to_network(p.to(device)) for p in pictures.split(50)))
    real_features, _ = read(pictures[chosen])
    unseen_features, unseen_factors = read(pictures[len(pictures) - HELD_OUT :])
    print(f"| pictures of | distance ({count} pictures) | precision | recall | mean pairwise distance |\n|---|---|---|---|---|", file=out)
    floor = distance_of(gaussian(unseen_features), gaussian(real_features))
    spread = lambda f: float(torch.pdist(f[:1000]).mean())
    print(f"| data, not trained on ({HELD_OUT}) | {floor:.2f} | {within(unseen_features, real_features):.2f} | {within(real_features[:2000], unseen_features):.2f} | {spread(unseen_features):.2f} |", file=out)
    for psi in (1.0, 0.7):
        batches = (generator(part, psi, dtype=best_dtype(device.type)).clamp(-1, 1) for part in z.split(50))
        fakes, factors = features_and_factors(regressor, batches)
        distance = distance_of(gaussian(fakes), gaussian(real_features))
        print(f"| generator, psi {psi} | {distance:.2f} | {within(fakes, real_features):.2f} | {within(real_features[:2000], fakes):.2f} | {spread(fakes):.2f} |", file=out)
        if psi == 1:
            kept, spreads = fakes, factors.std(0) / unseen_factors.std(0)
    # Copies would be nearer to their originals than unseen pictures are to the data.
    ratio = nearest(kept[:1000], real_features).median() / nearest(unseen_features[:1000], real_features).median()
    print(f"\nDistance of generated pictures to their nearest in the data, over that of unseen pictures: {ratio:.2f}.", file=out)
    narrow = sorted(zip(spreads.tolist(), regressor.names))
    print(f"Spread of the factors over that of the data: median {float(spreads.median()):.2f}, least "
          + ", ".join(f"{name} {value:.2f}" for value, name in narrow[:6]) + ".\n", file=out)


def report_spectrum(generator, out):
    layers = style_weights(generator)
    print("| layers | | share of the first eight eigenvalues (percent) |\n|---|---|---|", file=out)
    for group in GROUPS:
        name, rows = group_rows(layers, group)
        percent = lambda m: " ".join(f"{100 * share:.1f}" for share in shares(m)[0][:8])
        print(f"| {group} {name} | trained | {percent(rows)} |", file=out)
        print(f"| | random {list(rows.shape)} | {percent(torch.randn(rows.shape, generator=torch.Generator().manual_seed(0)))} |", file=out)


def rescore(regressor, generator, rows, layers, samples=128, step=2.0, psi=0.7):
    """Change of every factor (in deviations of the data) per unit along each direction: mean over samples [DIRECTIONS, f]."""
    first, last = layers
    z = torch.randn(samples, generator.z_dim, generator=torch.Generator().manual_seed(2)).to(rows.device)
    w = generator.mapping(z)
    w = generator.mapping.w_avg + psi * (w - generator.mapping.w_avg)
    ws = w[:, None].repeat(1, generator.num_ws, 1)
    changes = []
    for vector in shares(rows)[1][:DIRECTIONS].to(rows.device):
        read = []
        for sign in (1, -1):
            moved = ws.clone()
            moved[:, first : last + 1] += sign * step * vector
            pictures = torch.cat([generator.synthesis(part, "const", best_dtype(rows.device.type)).clamp(-1, 1) for part in moved.split(32)])
            read.append(regressor(pictures))
        changes.append(((read[0] - read[1]) / (2 * step)).mean(0))
    return torch.stack(changes).cpu()


def plain_name(name):
    return name.split(" (")[0]


def purity(names, change):
    """The strongest factor of a direction, and its share of the sum of squared changes; the two numbers of a hue are one factor."""
    squares = {}
    for name, value in zip(names, change.tolist()):
        squares[plain_name(name)] = squares.get(plain_name(name), 0.0) + value * value
    strongest = max(squares, key=squares.get)
    return strongest, squares[strongest] / max(sum(squares.values()), 1e-12)


def name_of(factors):
    """A name from the strongest factors of a direction: one, or two that are nearly alike. `factors` are (name, change), descending."""
    strongest = abs(factors[0][1])
    plain = [plain_name(name) for name, change in factors[:3] if abs(change) >= max(NAMED_FROM, 0.8 * strongest)]
    names = [NAMES.get(name, name.replace("_", " ")) for name in plain]
    return ", ".join(list(dict.fromkeys(names))[:2])


def report_directions(regressor, generator, known, out):
    """The re-scoring table (Table 2 of the paper); returns names by the keys of the file's metadata."""
    found, pure = {}, {}
    for group in GROUPS:
        name, rows = group_rows(style_weights(generator), group)
        first, last = map(int, name.split("-"))
        changes = rescore(regressor, generator, rows, (first, last))
        changes[:, ~known] = 0
        print(f"\n**{group.capitalize()} ({name})**: change per unit, in standard deviations of the data\n", file=out)
        print("| direction | name | purity | strongest factors |\n|---|---|---|---|", file=out)
        for index, change in enumerate(changes):
            order = change.abs().argsort(descending=True)[:5].tolist()
            factors = [(regressor.names[i], float(change[i])) for i in order]
            title = name_of(factors)
            strongest, share = purity(regressor.names, change)
            if index < 5 and group != "all" and share > 0.5 and title:
                pure[strongest] = max(share, pure.get(strongest, 0.0))
            if title:
                found[f"{name}/row-normalised/{index}"] = title
            print(f"| {index + 1} | {title} | {share:.2f} | " + ", ".join(f"{n} {c:+.2f}" for n, c in factors) + " |", file=out)
    print(f"\nOf the first five directions of bottom, middle and top, {len(pure)} different factors have a direction of purity over 0.5 "
          "(the strongest factor's share of the squared changes): " + ", ".join(sorted(pure)) + ".", file=out)
    return found


@torch.no_grad()
def write_expected(generator, path, count=4):
    """z, w and pictures in float32, made on the CPU."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(0))
    save_file({"z": z, "w": generator.mapping(z).contiguous(), "image": generator(z).contiguous()}, path)


def write_sheets(generator, folder, step=1.0):
    """`samples.jpg`: 64 seeds with psi 1 above and 0.7 below. `directions.jpg`: directions 1 to 3 of bottom, middle and top."""
    from PIL import Image

    def write(rows, name):
        grid = torch.cat([torch.cat(list(row), 1) for row in rows], 0)
        Image.fromarray(grid.cpu().numpy()).save(folder / name, quality=88)

    layers = style_weights(generator)
    device = layers[0].device
    z = torch.randn(64, generator.z_dim, generator=torch.Generator().manual_seed(3)).to(device)
    made = torch.cat([to_bytes(generator(z, psi)) for psi in (1.0, 0.7)])
    write(made.split(16), "samples.jpg")
    rows = []
    for seed, group in enumerate(("bottom", "middle", "top")):
        name, weights = group_rows(layers, group)
        first, last = map(int, name.split("-"))
        w = generator.mapping(z[seed : seed + 1])
        w = generator.mapping.w_avg + 0.7 * (w - generator.mapping.w_avg)
        for vector in shares(weights)[1][:3].to(device):
            ws = w[:, None].repeat(7, generator.num_ws, 1)
            ws[:, first : last + 1] += (torch.arange(-3, 4, device=device) * step)[:, None, None] * vector
            rows.append(to_bytes(generator.synthesis(ws, "const")))
    write(rows, "directions.jpg")


@torch.no_grad()
def evaluate(generator_path, regressor, pictures, count, folder, device):
    folder.mkdir(parents=True, exist_ok=True)
    write_expected(open_generator(generator_path), folder / "expected.safetensors")
    generator = open_generator(generator_path, device)
    with open(folder / "report.md", "w") as out:
        report_spectrum(generator, out)
        names = report_directions(regressor, generator, regressor.explained.cpu() > 0.3, out)
        (folder / "names.json").write_text(json.dumps(names, indent=1))
        report_distance(regressor, generator, pictures, count, out)
    write_sheets(generator, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--generator", type=Path, required=True)
    parser.add_argument("--regressor", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    regressor = Regressor.load(options.regressor, device)
    pictures = Pictures(options.data, open_generator(options.generator).synthesis.resolutions[-1], device).all
    evaluate(options.generator, regressor, pictures, options.count, options.out, device)


if __name__ == "__main__":
    main()
