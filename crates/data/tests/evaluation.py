"""Evaluates images as torchvision does on tensors and with PIL, for `evaluation.rs`.

The argument is a folder with cases.json: a list of image files, and for each case the sides of resize and crop, the filter and
whether it is antialiased. Generated images are added. Writes results.json, and for each case and image the bytes of both ways.
"""

import json
import sys
from pathlib import Path

try:
    import numpy
    import torch
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional
except ImportError as error:
    print(error)
    sys.exit(77)

FILTERS = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
SIZES = [(1, 1), (1, 7), (31, 500), (224, 224), (256, 300), (333, 257), (700, 40), (512, 1024)]


def generate(folder):
    """Noise, which shows every difference, and smooth images, as JPEG and PNG."""
    random = numpy.random.default_rng(0)
    for width, height in SIZES:
        noise = random.integers(0, 256, (height, width, 3), dtype=numpy.uint8)
        rows, columns = numpy.mgrid[0:height, 0:width]
        smooth = numpy.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], 2).astype("uint8")
        for name, pixels in [("noise", noise), ("smooth", smooth)]:
            Image.fromarray(pixels).save(folder / f"{name}-{width}x{height}.png")
            Image.fromarray(pixels).save(folder / f"{name}-{width}x{height}.jpg", quality=90)
    return sorted(map(str, folder.glob("*x*.*")))


def on_tensors(path, case):
    image = decode_image(path, mode=ImageReadMode.RGB)
    mode = FILTERS[case["filter"]]
    image = functional.resize(image, [case["resize_px"]], interpolation=mode, antialias=case["antialias"])
    return functional.center_crop(image, [case["crop_px"]] * 2).permute(1, 2, 0).contiguous().numpy().tobytes()


def with_pil(path, case):
    image = Image.open(path).convert("RGB")
    image = functional.resize(image, [case["resize_px"]], interpolation=FILTERS[case["filter"]])
    return functional.center_crop(image, [case["crop_px"]] * 2).tobytes()


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    cases = json.loads((folder / "cases.json").read_text())
    images = generate(folder) + cases["images"]
    for number, case in enumerate(cases["cases"]):
        for index, path in enumerate(images):
            (folder / f"{number}-{index}.tensor").write_bytes(on_tensors(path, case))
            if case["antialias"]:
                (folder / f"{number}-{index}.pil").write_bytes(with_pil(path, case))
    (folder / "results.json").write_text(json.dumps(images))


main()
