"""Writes images of many kinds, and their pixels as torchvision (JPEG) or Pillow decodes them: NAME.file, NAME.rgb, cases.json."""

import io
import json
import pathlib
import struct
import sys
import zlib

try:
    import numpy
    import torch
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_jpeg
except ImportError as error:
    print(error)
    sys.exit(77)

folder = pathlib.Path(sys.argv[1])
random = numpy.random.default_rng(13)
cases = []


def picture(width, height, channels=3):
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    pixels = 127.5 + 90 * numpy.sin(x / (5 + 3 * c) + y / 9) + random.integers(-30, 31, (height, width, channels))
    return pixels.clip(0, 255).astype(numpy.uint8)


def add(name, data):
    if data[:2] == b"\xff\xd8":
        tensor = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
        pixels = tensor.permute(1, 2, 0).contiguous().numpy()
    else:
        pixels = numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    (folder / f"{name}.file").write_bytes(data)
    (folder / f"{name}.rgb").write_bytes(pixels.tobytes())
    cases.append({"name": name, "width": pixels.shape[1], "height": pixels.shape[0]})


def save(name, image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    add(name, buffer.getvalue())


rgb = Image.fromarray(picture(203, 149))
gray = rgb.convert("L")
rgba = Image.fromarray(picture(203, 149, 4), "RGBA")

for subsampling in (0, 1, 2):
    save(f"jpeg-{subsampling}", rgb, "JPEG", subsampling=subsampling)
    save(f"jpeg-progressive-{subsampling}", rgb, "JPEG", subsampling=subsampling, progressive=True)
save("jpeg-gray", gray, "JPEG")
save("jpeg-rgb", rgb, "JPEG", keep_rgb=True)
save("jpeg-restarts", rgb, "JPEG", restart_marker_rows=1)
save("jpeg-1x1", rgb.crop((0, 0, 1, 1)), "JPEG")
save("jpeg-20000x1", rgb.resize((20000, 1)), "JPEG")
save("jpeg-exif-rotated", rgb, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")

# Pillow writes CMYK with Adobe's marker, whose last byte says whether it is YCCK; without the marker it is CMYK, which torchvision takes for
# inverted all the same.
buffer = io.BytesIO()
Image.fromarray(picture(203, 149, 4), "CMYK").save(buffer, "JPEG")
cmyk = buffer.getvalue()
marker = cmyk.index(b"\xff\xee")
add("jpeg-cmyk-adobe", cmyk)
add("jpeg-ycck", cmyk[: marker + 15] + b"\2" + cmyk[marker + 16 :])
add("jpeg-cmyk", cmyk[:marker] + cmyk[marker + 16 :])

save("png-rgb", rgb, "PNG")
save("png-rgba", rgba, "PNG")
save("png-gray", gray, "PNG")
save("png-gray-transparent", gray, "PNG", transparency=128)
save("png-rgb-transparent", rgb, "PNG", transparency=(1, 2, 3))
save("png-gray-alpha", rgba.convert("LA"), "PNG")
save("png-1-bit", gray.convert("1"), "PNG")
save("png-palette", rgb.quantize(200), "PNG")
save("png-palette-transparent", rgb.quantize(200), "PNG", transparency=bytes(range(200)))
for bits in (1, 2, 4):
    save(f"png-palette-{bits}", rgb.quantize(1 << bits), "PNG", bits=bits)
gray16 = numpy.linspace(0, 65535, 203 * 149).astype(numpy.uint16).reshape(149, 203)
gray16[:20] //= 256
save("png-gray16", Image.fromarray(gray16), "PNG")
save("png-1x1", rgb.crop((0, 0, 1, 1)), "PNG")
save("png-20000x1", rgb.resize((20000, 1)), "PNG")
save("png-animated", rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)])

# What Pillow cannot write: 16-bit colour, 2- and 4-bit gray, and interlacing.
def png(width, height, depth, color, rows, interlaced=False):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def passes(samples):
    for left, top, right, down in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = samples[top::down, left::right]
        yield from (row.tobytes() for row in part if row.size)


for channels, color in ((3, 2), (2, 4), (4, 6)):
    samples = random.integers(0, 65536, (40, 53, channels)).astype(">u2")
    add(f"png-{channels}x16", png(53, 40, 16, color, [row.tobytes() for row in samples]))
    add(f"png-{channels}x16-interlaced", png(53, 40, 16, color, passes(samples), True))
for bits in (2, 4):
    add(f"png-gray-{bits}", png(52, 40, bits, 0, [random.bytes(52 * bits // 8) for _ in range(40)]))
for width, height in ((53, 40), (1, 1), (3, 9)):
    samples = picture(width, height)
    add(f"png-interlaced-{width}x{height}", png(width, height, 8, 2, passes(samples), True))
add("png-gray16-interlaced", png(203, 149, 16, 0, passes(gray16.astype(">u2")), True))

save("webp-lossless", rgb, "WEBP", lossless=True)
save("webp-lossless-alpha", rgba, "WEBP", lossless=True, exact=True)
save("webp-1x1", rgb.crop((0, 0, 1, 1)), "WEBP", lossless=True)
save("webp-lossy", rgb, "WEBP", quality=80)
save("webp-lossy-odd", rgb.crop((0, 0, 201, 147)), "WEBP", quality=40)
save("webp-lossy-alpha", rgba, "WEBP", quality=80)
save("webp-animated", rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)], lossless=True)
save("webp-animated-alpha", rgba, "WEBP", save_all=True, append_images=[rgba.rotate(90)], lossless=True, exact=True)

(folder / "cases.json").write_text(json.dumps(cases))
