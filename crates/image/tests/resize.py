"""Writes images and what torchvision and Pillow make of them: NAME.in, NAME.torchvision, NAME.pillow and cases.json."""

import json
import os
import pathlib
import sys

try:
    import numpy
    import torch
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional
except ImportError as error:
    print(error)
    sys.exit(77)

folder = pathlib.Path(sys.argv[1])
torch.set_num_threads(1)
random = numpy.random.default_rng(13)
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def noise(width, height, channels):
    return random.integers(0, 256, (height, width, channels), dtype=numpy.uint8)


def waves(width, height, channels):
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    return (127.5 + 127.5 * numpy.sin(x / (3 + c) + y * y / 500)).astype(numpy.uint8)


def photos():
    paths = sorted(pathlib.Path(os.environ.get("REGATTA_TEST_PHOTOS", "/none")).glob("*"))
    for path in paths:
        pixels = numpy.asarray(Image.open(path).convert("RGB"))
        height, width = pixels.shape[:2]
        yield path.stem, pixels, (224, 224)
        left, top = random.integers(0, width // 2), random.integers(0, height // 2)
        crop_width, crop_height = random.integers(16, width // 2), random.integers(16, height // 2)
        yield path.stem + "-crop", pixels[top : top + crop_height, left : left + crop_width], (224, 224)


def generated():
    sizes = [
        ((500, 375), (224, 224)), ((224, 224), (256, 256)), ((37, 211), (224, 96)), ((1, 1), (7, 5)), ((5, 3), (1, 1)),
        ((2, 900), (224, 224)), ((1000, 8), (96, 8)), ((64, 500), (64, 100)), ((28, 28), (32, 32)), ((300, 200), (299, 201)),
        ((4000, 3), (3, 4)), ((3, 3), (224, 224)),
    ]  # fmt: skip
    for (width, height), to in sizes:
        for channels in (1, 3):
            for make in (noise, waves):
                yield f"{make.__name__}{channels}-{width}x{height}", make(width, height, channels), to


# Elsewhere PyTorch resizes bytes in floating point.
exact = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
cases = []
for label, pixels, (width, height) in [*generated(), *photos()]:
    pixels = numpy.ascontiguousarray(pixels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    source = f"{label}.in"
    (folder / source).write_bytes(pixels.tobytes())
    for filter in MODES:
        for antialias in (True, False):
            name = f"{label}-{filter}-{'antialiased' if antialias else 'plain'}"
            result = functional.resize(tensor, [height, width], MODES[filter], antialias=antialias)
            (folder / f"{name}.torchvision").write_bytes(result.permute(1, 2, 0).contiguous().numpy().tobytes())
            if antialias:
                image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
                image = image.resize((width, height), FILTERS[filter])
                (folder / f"{name}.pillow").write_bytes(image.tobytes())
            cases.append({
                "name": name, "source": source, "filter": filter, "antialias": antialias,
                "from": [pixels.shape[1], pixels.shape[0]], "to": [width, height], "exact": exact,
            })  # fmt: skip
(folder / "cases.json").write_text(json.dumps(cases))
