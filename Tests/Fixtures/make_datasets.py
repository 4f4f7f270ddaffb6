"""Fixtures for DatasetsTests: aspect-ratio buckets, by an independent rendering of the rule in numpy's words.

Written to datasets/buckets.json. The rule is sd-scripts' (BucketManager): with upscaling allowed a picture goes to the predefined bucket
of the closest aspect ratio, otherwise its own size, brought to the area if it is larger, is rounded down to the step.
Needs: numpy only.
"""
import json
import math
import pathlib
import random

OUT = pathlib.Path(__file__).parent / "datasets"


def predefined(width, height, low, high, step):
    area = width * height
    side = int(math.sqrt(area) // step) * step
    found = {(side, side)}
    w = low
    while w <= high:
        h = min(high, int((area // w) // step) * step)
        if h >= low:
            found |= {(w, h), (h, w)}
        w += step
    return sorted(found)


def choose(buckets, w, h):
    if (w, h) in buckets:
        bucket = (w, h)
    else:
        errors = [abs(bw / bh - w / h) for bw, bh in buckets]
        bucket = buckets[errors.index(min(errors))]
    scale = bucket[1] / h if w / h > bucket[0] / bucket[1] else bucket[0] / w
    return bucket, (int(w * scale + 0.5), int(h * scale + 0.5))


def choose_no_upscale(area, step, w, h):
    ratio = w / h
    snap = lambda x: int(x + 0.5) - int(x + 0.5) % step
    resized = (w, h)
    if w * h > area:
        rw = math.sqrt(area * ratio)
        rh = area / rw
        bw = snap(rw)
        error_w = abs(bw / snap(bw / ratio) - ratio)
        bh = snap(rh)
        error_h = abs(snap(bh * ratio) / bh - ratio)
        resized = (bw, int(bw / ratio + 0.5)) if error_w < error_h else (int(bh * ratio + 0.5), bh)
    return (resized[0] - resized[0] % step, resized[1] - resized[1] % step), resized


def main():
    OUT.mkdir(exist_ok=True)
    rng = random.Random(3)
    cases = []
    for (rw, rh), low, high, step in [((512, 512), 256, 1024, 64), ((1024, 1024), 256, 2048, 64), ((768, 512), 256, 1024, 64), ((128, 128), 64, 256, 32)]:
        buckets = predefined(rw, rh, low, high, step)
        sizes = [(rng.randint(step, 2500), rng.randint(step, 2500)) for _ in range(60)] + [(rw, rh), (rh, rw), (rw * 2, rh * 2), buckets[0], buckets[-1]]
        sizes = [(w, h) for w, h in sizes if 0.3 < w / h < 3.3]
        cases.append(dict(
            resolution=[rw, rh], minimum=low, maximum=high, step=step, buckets=buckets, sizes=sizes, upscaled=[choose(buckets, w, h) for w, h in sizes],
            kept=[choose_no_upscale(rw * rh, step, w, h) for w, h in sizes]))
    (OUT / "buckets.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main()
