"""Numbers by formula, the same here and in Swift (`CounterStream`), so that fixtures need not store weights or inputs.

A key has a stream: SplitMix64 started from the mixed seed xor the key's FNV-1a hash.
"""
import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def mixed(z):
    z = z.astype(np.uint64)
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(key, shape, seed=0):
    """Float32 numbers on [0, 1)."""
    count = int(np.prod(shape))
    base = int(mixed(np.array([(seed + GOLDEN) & MASK], dtype=np.uint64))[0]) ^ fnv1a(key)
    with np.errstate(over="ignore"):
        bits = mixed(np.uint64(base) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))
    return ((bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


def signed(key, shape, scale=1.0):
    """Float32 numbers on [-scale, scale)."""
    return (2 * uniform(key, shape) - 1) * np.float32(scale)


def weight(key, shape):
    """A weight of a sane size: unit gain for matrices and kernels, scales near 1, small shifts."""
    if len(shape) > 1:
        return signed(key, shape, np.sqrt(np.float32(3.0 / int(np.prod(shape[1:])))))
    return 1 + signed(key, shape, 0.2) if key.endswith("weight") else signed(key, shape, 0.1)


def signature(shapes):
    """One number for a set of keys and shapes (file layout)."""
    return f"{fnv1a(''.join(sorted(f'{key}:{list(shape)}' + chr(10) for key, shape in shapes))):016x}"
