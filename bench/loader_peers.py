#!/usr/bin/env python3
"""Measures how fast torchvision or DALI reads, decodes and transforms JPEG files on the CPU; prints one line of JSON.

The transforms are those of ImageNet at 224x224: in training a random resized crop and a horizontal flip, in evaluation a resize
of the shorter side to 256 and the centre crop. The result is batches of uint8, without normalisation.
"""

import argparse
import itertools
import json
import random
import time
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path

OUTPUT_PX, RESIZE_PX = 224, 256
# Yields the number of images of each batch, without end.
Batches = Generator[int, None, None]


def main() -> None:
    options = parse_options()
    files = sorted(str(file) for file in Path(options.folder).glob("*/*"))
    if not files:
        raise SystemExit(f"{options.folder} has no files in class folders")
    batches, versions = {"pil": pil, "v2": v2, "dali": dali}[options.program](files, options)
    take(batches, options.warmup_seconds)
    cpu_begin = time.process_time()
    images, seconds = take(batches, options.seconds)
    result = {
        "images_per_second": round(images / seconds, 1),
        "images": images,
        "seconds": round(seconds, 3),
        # Only in-process work is counted, so worker processes are not.
        "cpu_seconds": round(time.process_time() - cpu_begin, 3),
        "versions": versions,
    }
    batches.close()  # ends the DataLoader's workers, which would otherwise notice seconds later
    print(json.dumps(result), flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=["pil", "v2", "dali"], help="torchvision with PIL, torchvision v2 on tensors, DALI")
    parser.add_argument("--folder", required=True, help="contains a folder of JPEG files for each class")
    parser.add_argument("--transform", choices=["train", "eval"], default="train")
    parser.add_argument("--cores", type=int, default=1, help="worker processes or threads; with 1, torchvision runs in this process")
    parser.add_argument("--batch-size", type=int, default=50, help="images a batch")
    parser.add_argument("--warmup-seconds", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the measurement")
    return parser.parse_args()


def take(batches: Batches, seconds: float) -> tuple[int, float]:
    """Takes batches until that many seconds have passed; returns the number of images and the seconds."""
    begin, images = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begin) < seconds:
        images += next(batches)
    return images, elapsed


def pil(files: list[str], options: argparse.Namespace) -> tuple[Batches, dict]:
    import PIL.features
    from PIL import Image
    from torchvision import transforms

    # Bilinear with antialiasing is the default, and PIL knows no other.
    steps = {
        "train": [transforms.RandomResizedCrop(OUTPUT_PX), transforms.RandomHorizontalFlip()],
        "eval": [transforms.Resize(RESIZE_PX), transforms.CenterCrop(OUTPUT_PX)],
    }[options.transform]
    transform = transforms.Compose([*steps, transforms.PILToTensor()])

    def load(file: str):
        with open(file, "rb") as opened:
            return transform(Image.open(opened).convert("RGB"))

    jpeg = PIL.features.version("libjpeg_turbo") or "unknown"
    return torch_batches(files, load, options), torch_versions() | {"PIL": f"{PIL.__version__} (libjpeg-turbo {jpeg})"}


def v2(files: list[str], options: argparse.Namespace) -> tuple[Batches, dict]:
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2 as transforms

    steps = {
        "train": [transforms.RandomResizedCrop(OUTPUT_PX, antialias=True), transforms.RandomHorizontalFlip()],
        "eval": [transforms.Resize(RESIZE_PX, antialias=True), transforms.CenterCrop(OUTPUT_PX)],
    }[options.transform]
    transform = transforms.Compose(steps)

    def load(file: str):
        return transform(decode_image(file, mode=ImageReadMode.RGB))

    return torch_batches(files, load, options), torch_versions()


def torch_batches(files: list[str], load, options: argparse.Namespace) -> Batches:
    """Yields the size of each batch of `load`ed images, from this process for one core, else from a DataLoader's workers."""
    import torch
    from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

    # A user sees the warning of PIL's about the buffer once; it says nothing about these images.
    warnings.simplefilter("ignore")

    class Files(Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int):
            return load(files[index])

    class Endless(Sampler):
        """Permutations of the files without end, so that no epoch drains the workers."""

        def __iter__(self) -> Iterator[int]:
            return permutations(len(files))

    torch.set_num_threads(1)
    images, sampler = Files(), Endless()
    if options.cores == 1:
        indices = iter(sampler)
        batches = (
            default_collate([images[index] for index in itertools.islice(indices, options.batch_size)])
            for _ in itertools.count()
        )
    else:
        # Fork is Linux's default in this version of Python, and needed for functions inside of functions.
        batches = DataLoader(
            images, options.batch_size, sampler=sampler, num_workers=options.cores, multiprocessing_context="fork"
        )
    shape = (options.batch_size, 3, OUTPUT_PX, OUTPUT_PX)
    for batch in batches:
        assert batch.shape == shape and batch.dtype == torch.uint8, (batch.shape, batch.dtype)
        yield len(batch)


def permutations(count: int) -> Iterator[int]:
    generator = random.Random(1)
    while True:
        yield from generator.sample(range(count), count)


def torch_versions() -> dict:
    import torch
    import torchvision

    return {"torchvision": torchvision.__version__, "PyTorch": torch.__version__}


def dali(files: list[str], options: argparse.Namespace) -> tuple[Batches, dict]:
    import nvidia.dali
    from nvidia.dali import fn, pipeline_def, types

    # The decoder and `fn.flip` are the faster of DALI's ways, and the EXIF orientation is ignored as torchvision does.
    decoded = {"device": "cpu", "output_type": types.RGB, "adjust_orientation": False}
    linear = {"interp_type": types.INTERP_LINEAR, "antialias": True}

    @pipeline_def(batch_size=options.batch_size, num_threads=options.cores, device_id=None, seed=1)
    def pipeline():
        encoded, _ = fn.readers.file(files=files, random_shuffle=True)
        if options.transform == "train":
            crops = fn.decoders.image_random_crop(
                encoded, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3], num_attempts=10, **decoded
            )
            resized = fn.resize(crops, size=(OUTPUT_PX, OUTPUT_PX), **linear)
            return fn.flip(resized, horizontal=fn.random.coin_flip(probability=0.5))
        resized = fn.resize(fn.decoders.image(encoded, **decoded), resize_shorter=RESIZE_PX, **linear)
        return fn.crop(resized, crop=(OUTPUT_PX, OUTPUT_PX))

    built = pipeline()
    built.build()
    shape = [options.batch_size, OUTPUT_PX, OUTPUT_PX, 3]

    def batches() -> Batches:
        while True:
            batch = built.run()[0].as_tensor()
            assert list(batch.shape()) == shape and batch.dtype == types.UINT8, (batch.shape(), batch.dtype)
            yield options.batch_size

    return batches(), {"DALI": nvidia.dali.__version__}


if __name__ == "__main__":
    main()
