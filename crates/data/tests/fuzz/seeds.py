"""Writes the seeds of the fuzz targets to seeds/TARGET/: small files of every kind that is read, none from a photo.

    python3 crates/data/tests/fuzz/seeds.py
"""

import gzip
import io
import struct
import tarfile
import zlib
from pathlib import Path

from PIL import Image

SEEDS = Path(__file__).parent / "seeds"


def write(target, name, content):
    (SEEDS / target).mkdir(parents=True, exist_ok=True)
    (SEEDS / target / name).write_bytes(content)


def image(mode, width=45, height=37):
    """A gradient with some texture."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    value = lambda x, y, band: (x * (3 + band) + y * 5 + (x * y) % 7 * 6) % 256
    pixels = bytes(value(x, y, band) for y in range(height) for x in range(width) for band in range(bands))
    return Image.frombytes(mode, (width, height), pixels)


def encoded(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def idx(*sizes):
    count = 1
    for size in sizes:
        count *= size
    header = struct.pack(f">I{len(sizes)}I", 0x0800 | len(sizes), *sizes)
    return header + bytes(i % 10 for i in range(count))


def write_idx():
    write("idx", "images", idx(3, 4, 5))
    write("idx", "labels", idx(3))
    write("idx", "images.gz", gzip.compress(idx(3, 4, 5), mtime=0))
    write("idx", "labels.gz", gzip.compress(idx(3), mtime=0))
    write("idx", "two-members.gz", gzip.compress(idx(3)[:5], mtime=0) + gzip.compress(idx(3)[5:], mtime=0))


def write_cifar():
    planes = bytes(i % 251 for i in range(3072))
    write("cifar", "one", b"\x07" + planes)
    write("cifar", "fine", b"\x03\x63" + planes)
    write("cifar", "two.gz", gzip.compress(2 * (b"\x07" + planes), mtime=0))
    write("cifar", "fine-two.gz", gzip.compress(2 * (b"\x03\x63" + planes), mtime=0))


def tar(form, members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1.5
            archive.addfile(entry, io.BytesIO(content))
    # The mark of the end without the padding to 20 blocks.
    archive = out.getvalue().rstrip(b"\0")
    return archive + b"\0" * (-len(archive) % 512 + 1024)


def write_tar():
    samples = [("0.jpg", b"a" * 5), ("0.cls", b"1"), ("2.png", b""), ("2.cls", b"0"), ("1.webp", b"b"), ("1.json", b'{"label": 2}')]
    long = "d" * 120
    for name, form in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        write("tar", name, tar(form, samples[:4] + [(f"{long}/é.jpg", b"c"), (f"{long}/é.cls", b"0")]))
    write("tar", "json", tar(tarfile.USTAR_FORMAT, samples))
    inner = tar(tarfile.USTAR_FORMAT, [("x_1.JPEG", b"abc"), ("x_2.JPEG", b"")])
    write("tar", "classes", tar(tarfile.USTAR_FORMAT, [("n01.tar", inner), ("n02.tar", inner)]))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def interlaced(width, height):
    """An interlaced PNG of 8-bit gray, which Pillow does not write."""
    rows = b""
    for left, top, right, down in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for y in range(top, height, down):
            row = bytes((x * 9 + y * 5) % 256 for x in range(left, width, right))
            rows += b"\x01" + row if row else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_images():
    rgb, gray = image("RGB"), image("L")
    for name, picture, options in [
        ("420.jpg", rgb, {"subsampling": 2}),
        ("422.jpg", rgb, {"subsampling": 1}),
        ("444.jpg", rgb, {"subsampling": 0}),
        ("progressive.jpg", rgb, {"progressive": True}),
        ("restart.jpg", rgb, {"restart_marker_blocks": 1}),
        ("gray.jpg", gray, {}),
        ("gray-progressive.jpg", gray, {"progressive": True}),
        ("cmyk.jpg", image("CMYK"), {}),
        ("dot.jpg", image("RGB", 1, 1), {}),
    ]:
        write("image", name, encoded(picture, "JPEG", quality=60, **options))
    frames = {"save_all": True, "append_images": [rgb.rotate(180)], "duration": 50}
    for name, picture, options in [
        ("rgb.png", image("RGB", 19, 11), {}),
        ("rgba.png", image("RGBA", 19, 11), {}),
        ("gray.png", image("L", 19, 11), {}),
        ("gray-alpha.png", image("LA", 19, 11), {}),
        ("sixteen.png", Image.frombytes("I;16", (19, 11), image("LA", 19, 11).tobytes()), {}),
        ("palette.png", image("RGB", 19, 11).quantize(16), {"bits": 4, "transparency": 3}),
        ("bits.png", image("L", 19, 11).convert("1"), {}),
        ("animation.png", image("RGB", 19, 11), {**frames, "append_images": [image("RGB", 19, 11).rotate(180)]}),
    ]:
        write("image", name, encoded(picture, "PNG", **options))
    write("image", "interlaced.png", interlaced(19, 11))
    for name, picture, options in [
        ("lossy.webp", rgb, {"quality": 40}),
        ("lossless.webp", image("RGB", 19, 11), {"lossless": True}),
        ("alpha.webp", image("RGBA"), {"quality": 40}),
        ("animation.webp", rgb, {"quality": 40, **frames}),
    ]:
        write("image", name, encoded(picture, "WEBP", **options))


write_idx()
write_cifar()
write_tar()
write_images()
