"""Pictures in every layout that is read, and what PIL and OpenCV make of them.

Run with a Python that has numpy, pillow 13 and opencv-python-headless (pillow up to 12 always resizes along the rows first,
which changes what is clipped in between); writes Tests/Fixtures/imaging/ beside itself.
Decoded and resized pixels are raw RGB (or RGBA) bytes, all in expected.bin; expected.json says where each begins.
"""
import json
import pathlib
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

OUT = pathlib.Path(__file__).parent / "imaging"
W, H = 37, 29
blob, table = bytearray(), {}


def keep(name, image):
    array = np.asarray(image)
    table[name] = {"offset": len(blob), "width": array.shape[1], "height": array.shape[0], "channels": array.shape[2]}
    blob.extend(array.astype(np.uint8).tobytes())


def source():
    """Ramps, an edge and noise: what filters differ on."""
    y, x = np.mgrid[0:H, 0:W]
    rgb = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), ((x // 5 + y // 5) % 2) * 255], axis=-1)
    noise = np.random.default_rng(7).integers(-30, 30, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(ihdr, raw, extra=b""):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def rows(array):
    return b"".join(b"\0" + row.tobytes() for row in array)


def pngs(rgb):
    image = Image.fromarray(rgb)
    alpha = np.broadcast_to(np.linspace(0, 255, W).astype(np.uint8), (H, W))
    rgba = np.dstack([rgb, alpha])
    grey = image.convert("L")
    image.save(OUT / "rgb.png")
    Image.fromarray(rgba).save(OUT / "rgba.png")
    grey.save(OUT / "grey.png")
    grey.convert("1").save(OUT / "grey1.png")
    Image.merge("LA", [grey, Image.fromarray(alpha.copy())]).save(OUT / "greyalpha.png")
    palette = image.quantize(16)
    palette.save(OUT / "palette.png")
    palette.save(OUT / "palette_transparent.png", transparency=bytes([0, 128] + [255] * 14))
    wide = rgb.astype(np.uint16) * 256 + 77
    (OUT / "rgb16.png").write_bytes(png(struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 0), rows(wide.astype(">u2"))))
    grey16 = np.asarray(grey).astype(np.uint16) * 257
    (OUT / "grey16.png").write_bytes(png(struct.pack(">IIBBBBB", W, H, 16, 0, 0, 0, 0), rows(grey16.astype(">u2"))))
    adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b"".join(rows(rgb[y::dy, x::dx]) for x, y, dx, dy in adam7)
    (OUT / "interlaced.png").write_bytes(png(struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 1), raw))
    for name in ("rgb", "interlaced"):
        keep(f"{name}.png", rgb)
    keep("rgba.png", rgba)
    keep("grey.png", grey.convert("RGB"))
    keep("grey16.png", grey.convert("RGB"))
    keep("grey1.png", grey.convert("1").convert("RGB"))
    keep("greyalpha.png", np.dstack([np.asarray(grey.convert("RGB")), alpha]))
    keep("palette.png", palette.convert("RGB"))
    keep("palette_transparent.png", Image.open(OUT / "palette_transparent.png").convert("RGBA"))
    keep("rgb16.png", np.floor(wide.astype(np.float64) * 255 / 65535 + 0.5))
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, steps: 20")
    info.add_itxt("prompt", "一只猫 “cat”")
    info.add_text("comment", "Grüße", zip=True)
    image.crop((0, 0, 3, 3)).save(OUT / "text.png", pnginfo=info)


def jpegs(rgb):
    image = Image.fromarray(rgb)
    image.save(OUT / "rgb.jpg", quality=90)
    image.save(OUT / "progressive.jpg", quality=90, progressive=True)
    image.convert("L").save(OUT / "grey.jpg", quality=90)
    image.convert("CMYK").save(OUT / "cmyk.jpg", quality=95)
    for name in ("rgb", "progressive", "grey", "cmyk"):
        keep(f"{name}.jpg", Image.open(OUT / f"{name}.jpg").convert("RGB"))
    corners = Image.new("RGB", (32, 16), (250, 250, 250))
    for place, colour in {(0, 0): (255, 0, 0), (16, 0): (0, 160, 0), (0, 8): (0, 0, 255)}.items():
        corners.paste(colour, (*place, place[0] + 16, place[1] + 8))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        corners.save(OUT / f"turned{orientation}.jpg", quality=95, subsampling=0, exif=exif)
        keep(f"turned{orientation}.jpg", ImageOps.exif_transpose(Image.open(OUT / f"turned{orientation}.jpg")))
    exif = Image.Exif()
    exif[0x0112] = 6
    corners.save(OUT / "turned6.png", exif=exif)
    corners.save(OUT / "turned6.webp", lossless=True, exif=exif)
    for kind in ("png", "webp"):
        keep(f"turned6.{kind}", ImageOps.exif_transpose(Image.open(OUT / f"turned6.{kind}")).convert("RGB"))


def webps(rgb):
    image = Image.fromarray(rgb)
    image.save(OUT / "lossy.webp", quality=80)
    image.save(OUT / "lossless.webp", lossless=True)
    Image.open(OUT / "rgba.png").save(OUT / "alpha.webp", lossless=True, exact=True)
    image.save(OUT / "animated.webp", save_all=True, append_images=[image.rotate(180)])
    for name in ("lossy", "lossless"):
        keep(f"{name}.webp", Image.open(OUT / f"{name}.webp").convert("RGB"))
    keep("alpha.webp", Image.open(OUT / "alpha.webp").convert("RGBA"))


def resized(rgb):
    filters = dict(nearest=Image.NEAREST, box=Image.BOX, bilinear=Image.BILINEAR, bicubic=Image.BICUBIC, lanczos=Image.LANCZOS)
    image, rgba = Image.fromarray(rgb), Image.open(OUT / "rgba.png")
    for width, height in [(16, 16), (64, 40), (37, 10), (11, 29), (60, 7), (1, 1), (74, 58)]:
        for name, value in filters.items():
            keep(f"{name} {width}x{height}", image.resize((width, height), value))
        keep(f"area {width}x{height}", cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))
    # A whole-number ratio takes OpenCV's fast way.
    even = rgb[:28, :36].copy()
    for width, height in [(18, 14), (9, 7), (12, 28)]:
        keep(f"even {width}x{height}", cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    for name in ("bilinear", "lanczos"):
        keep(f"{name} alpha 20x50", rgba.resize((20, 50), filters[name]))


def main():
    OUT.mkdir(exist_ok=True)
    rgb = source()
    pngs(rgb)
    jpegs(rgb)
    webps(rgb)
    resized(rgb)
    (OUT / "expected.bin").write_bytes(blob)
    (OUT / "expected.json").write_text(json.dumps(table))


main()
