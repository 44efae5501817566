"""Writes images of unusual kinds, and what torchvision's evaluation makes of them: val/class/NAME and NAME.rgb in the folder of the argument."""

import sys
from pathlib import Path

try:
    import numpy
    from PIL import Image
    from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize
except ImportError as error:
    print(error)
    sys.exit(77)

root = Path(sys.argv[1])
folder = root / "val" / "class"
folder.mkdir(parents=True)
Image.MAX_IMAGE_PIXELS = None


def picture(width, height, channels=3):
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    return (127.5 + 100 * numpy.sin(x / (5 + 3 * c) + y / 9)).astype(numpy.uint8)


def add(name, image, form, **options):
    image.save(folder / name, form, **options)
    with Image.open(folder / name) as file:
        image = file.convert("RGB")
    if image.width > 1000:
        # These columns decide what is at the centre; torchvision would resize all to 5,120,000.
        image = image.crop((image.width // 2 - 10, 0, image.width // 2 + 10, image.height))
    pixels = center_crop(resize(pil_to_tensor(image), [256], antialias=True), [224])
    (root / f"{name}.rgb").write_bytes(pixels.permute(1, 2, 0).contiguous().numpy().tobytes())


rgb = Image.fromarray(picture(203, 149))
frames = {"save_all": True, "append_images": [Image.fromarray(255 - picture(203, 149))], "duration": 40}
add("png-called.jpg", rgb, "PNG")
add("1x1.jpg", rgb.crop((0, 0, 1, 1)), "JPEG")
add("1x1.png", rgb.crop((0, 0, 1, 1)), "PNG")
add("20000x1.jpg", Image.fromarray(picture(20000, 1)), "JPEG")
add("20000x1.png", Image.fromarray(picture(20000, 1)), "PNG")
add("cmyk.jpg", Image.fromarray(picture(203, 149, 4), "CMYK"), "JPEG")
add("gray.jpg", rgb.convert("L"), "JPEG")
add("gray.png", rgb.convert("L"), "PNG")
add("sixteen.png", Image.fromarray(picture(203, 149, 1)[..., 0].astype(numpy.uint16) * 2), "PNG")
add("palette.png", rgb.quantize(50), "PNG")
add("animation.png", rgb, "PNG", **frames)
add("animation.webp", rgb, "WEBP", lossless=True, **frames)
add("progressive.jpg", rgb, "JPEG", progressive=True)
