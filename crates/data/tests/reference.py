"""Reads folders with torchvision and shards with webdataset, and writes shards with several programs, for `reference.rs`.

The argument is a folder with cases.json; results go to results.json in it.
"""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

try:
    import webdataset
    from torchvision.datasets import ImageFolder
except ImportError as error:
    print(error)
    sys.exit(77)

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
LONG = "d" * 120


def read_folder(path):
    """Classes and samples, without the formats that are skipped."""
    folder = ImageFolder(path)
    samples = [(str(Path(file).relative_to(path)), label) for file, label in folder.samples]
    return {"classes": folder.classes, "samples": [s for s in samples if s[0].lower().endswith(EXTENSIONS)]}


def samples(long_names):
    """Key, extension, content and label."""
    keys = ["b/000", "b/001", "a/x y", "ä/ö", "c/UPPER"] + ([f"{LONG}/{i}" for i in range(3)] if long_names else [])
    extensions = ["jpg", "jpeg", "png", "webp", "JPG"]
    for number, key in enumerate(keys):
        yield key, extensions[number % 5], bytes([number]) * (number * 511), number % 4


def write_with_tarfile(path, form, long_names):
    with tarfile.open(path, "w", format=form) as archive:
        for key, extension, content, label in samples(long_names):
            for name, data in [(f"{key}.{extension}", content), (f"{key}.cls", str(label).encode())]:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime = len(data), 1.5
                archive.addfile(entry, io.BytesIO(data))


def write_with_webdataset(path, label):
    with webdataset.TarWriter(str(path)) as sink:
        for key, extension, content, number in samples(True):
            sink.write({"__key__": key, extension: content, **label(number)})


def write_with_gnu_tar(path, form, long_names, source):
    names = []
    for key, extension, content, label in samples(long_names):
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        for name, data in [(f"{key}.{extension}", content), (f"{key}.cls", str(label).encode())]:
            (source / name).write_bytes(data)
            names.append(name)
    subprocess.run(["tar", f"--format={form}", "-C", source, "-cf", path, "./b", *names[4:]], check=True)


def write_shards(folder):
    """The path of each shard, and the samples that it must give: content and label by name."""
    shards = {}

    def add(name, write, long_names):
        path = folder / f"{name}.tar"
        write(path)
        shards[str(path)] = {f"{k}.{e}": (c.hex(), l) for k, e, c, l in samples(long_names)}

    # The prefix field of POSIX's older form has room for these long names, too.
    for name, form in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        add(f"tarfile-{name}", lambda path: write_with_tarfile(path, form, True), True)
    add("webdataset-cls", lambda path: write_with_webdataset(path, lambda number: {"cls": number}), True)
    add("webdataset-json", lambda path: write_with_webdataset(path, lambda number: {"json": {"label": number}}), True)
    for form in ["v7", "oldgnu", "gnu", "ustar", "posix"]:
        long_names = form != "v7"
        source = folder / f"source-{form}"
        add(f"tar-{form}", lambda path: write_with_gnu_tar(path, form, long_names, source), long_names)
    return shards


def read_shards(paths):
    """Key, content and label of each sample, in the order of the shards."""
    found = webdataset.WebDataset(paths, shardshuffle=False)
    return [(s["__key__"], s["jpg"].hex(), int(s["cls"])) for s in found]


folder = Path(sys.argv[1])
cases = json.loads((folder / "cases.json").read_text())
results = {
    "folders": [read_folder(path) for path in cases["folders"]],
    "written": write_shards(folder),
    "read": read_shards(cases["shards"]),
}
(folder / "results.json").write_text(json.dumps(results))
