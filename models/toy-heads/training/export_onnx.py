"""Writes the regressor (`factors.py`) as ONNX, for programs that have no PyTorch, and checks it with onnxruntime.

    python export_onnx.py --regressor regressor.pth --out regressor.onnx

Input `picture` [N, 3, 128, 128] in [-1, 1], red first. Output `factors` [N, f] in standard deviations of the data set, and what the
distances are measured in, `features` [N, 128]. Metadata, all of it text: `names` (JSON list, one for each of f), `explained` (JSON list:
R2 of each on pictures that were not trained on; below 0.3 it says nothing), `layout`, `channels`, `range`, `activation`, `license`.

Batch normalisation becomes part of the layer before it, so that there are five kinds of operators: AveragePool, Conv, Relu,
Flatten, Gemm.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from factors import FEATURES, SIZE, Regressor

RESOLUTION = 128
TOLERANCE = 1e-4  # deviations; float32 either way


def folded(layer, norm):
    """Weight and bias of a layer with the batch normalisation after it, as in evaluation."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    bias = layer.bias if layer.bias is not None else 0.0
    return layer.weight * scale.reshape(-1, *[1] * (layer.weight.dim() - 1)), (bias - norm.running_mean) * scale + norm.bias


def export(regressor):
    nodes, weights = [], []

    def add(kind, output, source, parameters=(), **attributes):
        inputs = [source]
        for part, tensor in zip(("weight", "bias"), parameters):
            inputs.append(f"{output}.{part}")
            weights.append(numpy_helper.from_array(tensor.detach().float().contiguous().numpy(), inputs[-1]))
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    pool = lambda output, source, size: add("AveragePool", output, source, kernel_shape=[size] * 2, strides=[size] * 2)
    last = pool("half", "picture", RESOLUTION // SIZE)
    layers = list(regressor.body)
    for index, layer in enumerate(layers):
        name = f"body.{index}"
        if isinstance(layer, nn.Conv2d):
            last = add("Conv", name, last, folded(layer, layers[index + 1]), kernel_shape=[3, 3], pads=[1] * 4)
        elif isinstance(layer, nn.Linear):
            last = add("Gemm", name, last, folded(layer, layers[index + 1]), transB=1)
        elif isinstance(layer, nn.ReLU):
            last = add("Relu", "features" if index == len(layers) - 1 else name, last)
        elif isinstance(layer, nn.AvgPool2d):
            last = pool(name, last, 2)
        elif isinstance(layer, nn.Flatten):
            last = add("Flatten", name, last)
    add("Gemm", "factors", last, (regressor.head.weight, regressor.head.bias), transB=1)

    tensor = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
    graph = helper.make_graph(
        nodes, "toy-heads-regressor", [tensor("picture", 3, RESOLUTION, RESOLUTION)],
        [tensor("factors", len(regressor.names)), tensor("features", FEATURES)], weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.doc_string = "Known factors of a toy head, read from its picture; in standard deviations of the data set."
    helper.set_model_props(model, {
        "names": json.dumps(regressor.names), "explained": json.dumps([round(x, 3) for x in regressor.explained.tolist()]),
        "layout": "NCHW", "channels": "RGB", "range": "-1..1", "activation": "none", "license": "CC0 1.0",
    })
    onnx.checker.check_model(model, full_check=True)
    return model


def check(regressor, path, pictures):
    """The greatest difference from PyTorch."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(["factors", "features"], {"picture": pictures.numpy()})
    with torch.no_grad():
        expected = regressor(pictures).numpy(), regressor.features(pictures).numpy()
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regressor", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="safetensors with `image` [n, 3, 128, 128]; noise, unless given")
    options = parser.parse_args()
    regressor = Regressor.load(options.regressor)
    onnx.save(export(regressor), options.out)
    if options.pictures:
        from safetensors.torch import load_file

        pictures = load_file(options.pictures)["image"].clamp(-1, 1)
    else:
        pictures = torch.rand(8, 3, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(0)) * 2 - 1
    off = check(regressor, options.out, pictures)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, {len(regressor.names)} factors, off by {off:.1e}")
    if off > TOLERANCE:
        raise SystemExit(f"onnxruntime and PyTorch differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
