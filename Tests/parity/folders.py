"""Random pictures with captions, in the layout that Kohya's scripts read, and where sd-scripts' buckets put them."""
import numpy as np
from PIL import Image

from drawing import WORDS


def random_image(r, width, height):
    """Soft areas, edges and some noise: what a codec or a resampling could get wrong would show."""
    n = np.random.default_rng(r.randrange(1 << 32))
    coarse = Image.fromarray(n.integers(0, 256, (r.randint(2, 6), r.randint(2, 6), 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.BICUBIC), dtype=np.float32)
    x, y = sorted(n.integers(0, width + 1, 2)), sorted(n.integers(0, height + 1, 2))
    pixels[y[0]:y[1], x[0]:x[1]] = n.integers(0, 256, 3)
    pixels += n.normal(0, 8, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def random_caption(r):
    return ", ".join(" ".join(r.sample(WORDS[:40], r.randint(1, 4))) for _ in range(r.randint(1, 4))).replace(",,", ",")


def write_dataset(r, folder, count, repeats, sides):
    """`<repeats>_style` with `count` PNGs of random sizes and their captions. Returns (path, width, height, caption) sorted by path."""
    leaf = folder / f"{repeats}_style"
    leaf.mkdir(parents=True)
    items = []
    for i in range(count):
        width, height, caption = r.choice(sides), r.choice(sides), random_caption(r)
        path = leaf / f"{i:02}.png"
        random_image(r, width, height).save(path)
        path.with_suffix(".txt").write_text(caption + "\n", encoding="utf-8")
        items.append((path, width, height, caption))
    return items
