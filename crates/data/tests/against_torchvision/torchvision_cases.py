"""Computes the cases of against_torchvision.rs with torchvision's transforms v2 on uint8 tensors, and pycls's lighting with NumPy."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

try:
    import numpy as np
    import torch
    from torchvision.transforms import InterpolationMode, v2
    from torchvision.transforms.v2 import functional as F
    from torchvision.transforms.v2.functional import _geometry
except ImportError as error:
    print(f"this Python has no torchvision: {error}")
    sys.exit(77)

SPACES = {"rand_augment": v2.RandAugment(), "trivial_augment_wide": v2.TrivialAugmentWide()}


def auto_augment(image, case):
    """One operation of a table of magnitudes."""
    space = SPACES[case["space"]]
    height, width = image.shape[-2:]
    magnitudes, signed = space._AUGMENTATION_SPACE[case["operation"]]
    magnitudes = magnitudes(31, height, width)
    magnitude = 0.0 if magnitudes is None else float(magnitudes[case["magnitude"]])
    if signed and case["negative"]:
        magnitude *= -1
    interpolation = InterpolationMode(case["interpolation"])
    return space._apply_image_or_video_transform(
        image, case["operation"], magnitude, interpolation=interpolation, fill=space._fill
    )


def transformed(images, case):
    image = images[case["image"]]
    if "space" in case:
        return auto_augment(image, case)
    arguments = [] if case["argument"] is None else [case["argument"]]
    return getattr(F, case["function"])(image, *arguments)


def regions(size, transform, count):
    """Draws of a transform's parameters as (left, top, width, height)."""
    width, height = size
    image = torch.empty(3, height, width, dtype=torch.uint8)
    torch.manual_seed(0)
    drawn = []
    for _ in range(count):
        p = transform.make_params([image])
        if "top" in p:
            drawn.append([p["left"], p["top"], p["width"], p["height"]])
        elif p["v"] is not None:
            drawn.append([p["j"], p["i"], p["w"], p["h"]])
    return drawn


def evaluation(size, resize, crop):
    """Size after the resize, then the centre crop's padding and position."""
    width, height = size
    height, width = _geometry._compute_resized_output_size((height, width), size=[resize])
    resized = [width, height]
    left, top, right, bottom = _geometry._center_crop_compute_padding(crop, crop, height, width)
    padded = height + top + bottom, width + left + right
    crop_top, crop_left = _geometry._center_crop_compute_crop_anchor(crop, crop, *padded)
    return [*resized, left, top, crop_left, crop_top]


def cutmix(size, share, centre):
    """Corners of CutMix's rectangle and the weight of the label, for a given draw of the share and the centre."""
    transform = v2.CutMix(num_classes=2)
    transform._dist = SimpleNamespace(sample=lambda _: share)
    width, height = size
    with mock.patch("torch.randint", side_effect=[torch.tensor([position]) for position in centre]):
        p = transform.make_params([torch.empty(2, 3, height, width)])
    return [p["box"], p["lam_adjusted"]]


EIG_VALS = np.array([[0.2175, 0.0188, 0.0045]])
EIG_VECS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def pycls_lighting(alphas):
    """What pycls's `lighting` adds to the channels of a BGR image."""
    rgb = np.sum(EIG_VECS * np.repeat(np.array([alphas]), 3, axis=0) * np.repeat(EIG_VALS, 3, axis=0), axis=1)
    return [rgb[2 - channel] for channel in range(3)]


def main(folder):
    cases = json.loads((folder / "cases.json").read_text())
    torch.set_num_threads(1)
    images = []
    for index, (width, height) in enumerate(cases["images"]):
        pixels = np.fromfile(folder / f"{index}.rgb", dtype=np.uint8).reshape(height, width, 3)
        images.append(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
    with open(folder / "transformed.rgb", "wb") as out:
        for case in cases["pixels"]:
            out.write(transformed(images, case).permute(1, 2, 0).contiguous().numpy().tobytes())
    crops = [
        regions(size, v2.RandomResizedCrop(224, scale=scale, ratio=ratio), count)
        for size, scale, ratio, count in cases["crops"]
    ]
    results = {
        "crops": crops,
        "erased": [regions(size, v2.RandomErasing(), count) for size, count in cases["erased"]],
        "evaluation": [evaluation(*case) for case in cases["evaluation"]],
        "lighting": [pycls_lighting(alphas) for alphas in cases["lighting"]],
        "cutmix": [cutmix(*case) for case in cases["cutmix"]],
    }
    (folder / "results.json").write_text(json.dumps(results))


main(Path(sys.argv[1]))
