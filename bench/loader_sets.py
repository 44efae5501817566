"""The images of `loader.py`: three sets of JPEG files in class folders, and the recipe with which the trainer reads them."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

# Photos appear this often, in a class folder each time: an epoch of 100 images would measure the ends of epochs.
REPEATS = 10
PACKED_SIDE_PX, PACKED_QUALITY = 256, 90
CLASSES = 10


@dataclass(frozen=True)
class ImageSet:
    """JPEG files in class folders under train/, and the same once more under val/."""

    name: str
    folder: Path

    def files(self) -> list[Path]:
        """All files of one split, without the repeats of a file."""
        return sorted({file.resolve() for file in self.folder.glob("train/*/*")})

    def read(self) -> int:
        """Reads all files, so that they are in the page cache; returns the bytes."""
        return sum(len(file.read_bytes()) for file in self.files())

    def describe(self) -> str:
        files = self.files()
        return f"{self.name}: {len(files)} JPEG files of {self.read() / len(files) / 1000:.1f} kB on average"


def prepare(names: list[str], folder: Path) -> list[ImageSet]:
    """Makes the sets below `folder`; says which are skipped, and why."""
    photos, imagenette = os.environ.get("REGATTA_TEST_PHOTOS"), os.environ.get("REGATTA_TEST_IMAGENETTE")
    sets = []
    for name in names:
        variable = "REGATTA_TEST_IMAGENETTE" if name == "imagenette" else "REGATTA_TEST_PHOTOS"
        if not os.environ.get(variable):
            print(f"skipped: {name}: {variable} is not set", flush=True)
        elif name == "imagenette":
            sets.append(both_splits(name, folder, Path(imagenette).resolve() / "train"))
        else:
            source = Path(photos).resolve()
            files = sorted(file for file in source.iterdir() if file.suffix.lower() in (".jpeg", ".jpg"))
            sets.append(repeated(name, folder, pack(files, folder / "files") if name == "packed" else files))
    return sets


def repeated(name: str, folder: Path, files: list[Path]) -> ImageSet:
    for repeat in range(REPEATS):
        class_folder = folder / name / "classes" / f"repeat_{repeat}"
        class_folder.mkdir(parents=True)
        for file in files:
            (class_folder / f"{file.stem}.jpg").symlink_to(file)
    return both_splits(name, folder, folder / name / "classes")


def both_splits(name: str, folder: Path, classes: Path) -> ImageSet:
    (folder / name).mkdir(exist_ok=True)
    for split in ("train", "val"):
        (folder / name / split).symlink_to(classes, target_is_directory=True)
    return ImageSet(name, folder / name)


def pack(files: list[Path], folder: Path) -> list[Path]:
    """Resizes each image so that its shorter side has `PACKED_SIDE_PX`, with PIL's antialiased bicubic filter."""
    folder.mkdir()
    packed = []
    for file in files:
        image = Image.open(file).convert("RGB")
        scale = PACKED_SIDE_PX / min(image.size)
        size = tuple(max(PACKED_SIDE_PX, round(side * scale)) for side in image.size)
        packed.append(folder / f"{file.stem}.jpg")
        image.resize(size, Image.Resampling.BICUBIC).save(packed[-1], quality=PACKED_QUALITY)
    return packed


def write_recipe(images: ImageSet, batch_size: int, shards: Path | None = None) -> Path:
    """Writes the recipe for the files, or for the archives in `shards`, and returns its path."""
    if shards is None:
        source = f'dataset = "image_folder"\nfolder = {json.dumps(str(images.folder))}'
    else:
        pattern = json.dumps(brace_range(shards))
        source = f'dataset = "tar_shards"\nfolder = {json.dumps(str(shards))}\ntrain_shards = {pattern}\nval_shards = {pattern}'
    recipe = images.folder / ("files.toml" if shards is None else "shards.toml")
    recipe.write_text(f"""[model]
arch = "regnetx_200mf"
classes = {CLASSES}
[data]
{source}
resolution_px = 224
val_resize_px = 256
interpolation = "bilinear"
antialias = true
[augment]
random_resized_crop_scale = [0.08, 1.0]
random_resized_crop_ratio = [0.75, 1.3333333333333333]
horizontal_flip_probability = 0.5
[train]
epochs = 1
global_batch_size = {batch_size}
micro_batch_size = {batch_size}
[optim]
name = "sgd"
lr = 0.1
""")
    return recipe


def write_shards(trainer: str, images: ImageSet, recipe: Path) -> Path:
    """Packs the training split into tar shards, byte for byte, and returns their folder."""
    shards = images.folder / "shards"
    command = [trainer, "data", "pack", "--config", str(recipe), "--split", "train", "--out", str(shards)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr}")
    return shards


def brace_range(shards: Path) -> str:
    """The pattern of numbered archives: the name of one, or `NAME-{000000..000003}.tar`."""
    names = sorted(file.name for file in shards.glob("*.tar"))
    if not names:
        raise SystemExit(f"{shards} has no .tar files after `trainer data pack`")
    stem, _, first = names[0].removesuffix(".tar").rpartition("-")
    last = names[-1].removesuffix(".tar").rpartition("-")[2]
    return names[0] if len(names) == 1 else f"{stem}-{{{first}..{last}}}.tar"
