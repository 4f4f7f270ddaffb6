"""Safetensors files and PyTorch checkpoints written by the reference implementations, and what is in them.

Run with a Python that has torch and safetensors; writes Tests/Fixtures/checkpoints/ beside itself.
"""
import collections
import hashlib
import json
import os
import pathlib
import sys
import types

import numpy
import torch
from safetensors.torch import save, save_file

OUT = pathlib.Path(__file__).parent / "checkpoints"


def ramp(*shape):
    """Numbers of both signs that float16 and bfloat16 must round."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) / 7 - 1.3).to(torch.float32).reshape(shape)


def expected(tensors):
    return {name: {"shape": list(t.shape), "values": [float(x) for x in t.to(torch.float64).flatten()]} for name, t in tensors.items()}


def hashes():
    """Kohya's two hashes for a file that is longer than the range the old one looks at."""
    tensor = (torch.arange(400_000) % 251).to(torch.float32)
    data = save({"up": tensor, "down": tensor[:7].clone()}, metadata={"ss_rank": "4"})
    start = int.from_bytes(data[:8], "little") + 8
    return {
        "model": hashlib.sha256(data[start:]).hexdigest(),
        "legacy": hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8],
        "whole": hashlib.sha256(data).hexdigest(),
    }


class Command:
    """What a hostile pickle holds: opening it with `pickle` would call os.system."""

    def __reduce__(self):
        return os.system, ("true",)


def trainer_state():
    """What Lightning leaves beside the weights: callbacks by class, NumPy numbers, objects with a state."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        sys.modules.setdefault(name, module)
    state = callback()
    state.best = {"score": numpy.float64(0.25), "paths": ["a", "b"]}
    return {"callbacks": {callback: {"monitor": "val", "best": numpy.array([1.5, 2.0])}, "object": state}, "hyper_parameters": collections.defaultdict(list, a=[1])}


def torch_files():
    """Checkpoints as training programs leave them, and two that must not be opened."""
    big = ramp(96, 256).half()
    values = {
        "single": ramp(3, 5), "half": ramp(2, 1, 3).half(), "brain": ramp(3).bfloat16(), "double": torch.tensor([0.1, -3.5], dtype=torch.float64),
        "steps": torch.tensor([[1, -2], [2**40, 0]]), "turned": ramp(4, 6).t(), "every second": ramp(4, 6)[:, ::2], "tail": ramp(10)[4:],
        "scalar": torch.tensor(4.0), "empty": torch.zeros(0, 4), "parameter": torch.nn.Parameter(ramp(2, 2)), "big": big, "big tail": big[64:],
    }
    torch.save({"state_dict": collections.OrderedDict(values), "global_step": 875000, "note": "x", "epoch": 2.5, "callbacks": {3: [None, (True, 2**70)]}},
               OUT / "nested.ckpt")
    small = {k: v for k, v in values.items() if not k.startswith("big")}
    torch.save(small, OUT / "flat.pt")
    torch.save({"state_dict": {"single": ramp(2)}, "global_step": 7, **trainer_state()}, OUT / "trainer.ckpt")
    torch.save({"state_dict": {"single": ramp(2)}, "hook": Command()}, OUT / "hostile.ckpt")
    torch.save(small, OUT / "legacy.ckpt", _use_new_zipfile_serialization=False)
    (OUT / "torch.json").write_text(json.dumps(expected({k: v.detach() for k, v in small.items()})))


def main():
    OUT.mkdir(exist_ok=True)
    if sys.argv[1:] == ["torch"]:
        return torch_files()
    values = {}
    for name, dtype in {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}.items():
        tensors = {"unet.b.weight": ramp(3, 5).to(dtype), "unet.a.weight": ramp(2, 1, 3).to(dtype), "alpha": torch.tensor(4.0, dtype=dtype), "empty": torch.zeros(0, 4, dtype=dtype)}
        save_file(tensors, OUT / f"{name}.safetensors", metadata={"ss_note": "rank 4, “quoted” \"text\"\n层"})
        values[name] = expected(tensors)
    mixed = {
        "half": ramp(4).half(), "single": ramp(2, 2), "brain": ramp(3).bfloat16(), "double": torch.tensor([0.1, -1e300, 3.5], dtype=torch.float64),
        "steps": torch.tensor([[1, -2], [2**40, 0]]), "small": torch.tensor([-3, 7], dtype=torch.int8), "flags": torch.tensor([True, False]),
        "bytes": torch.arange(5, dtype=torch.uint8), "words": torch.tensor([-70000, 5], dtype=torch.int32),
        "e5m2": torch.arange(256, dtype=torch.uint8).view(torch.float8_e5m2), "e4m3": torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn),
    }
    save_file(mixed, OUT / "mixed.safetensors")
    values["mixed"] = expected({k: v for k, v in mixed.items() if k not in ("e5m2", "e4m3")})
    # As float16 bit patterns: 8-bit floats fit into it exactly, infinities and NaN included.
    values["bits"] = {k: [int(x) & 0xFFFF for x in mixed[k].to(torch.float16).view(torch.int16)] for k in ("e5m2", "e4m3")}
    (OUT / "expected.json").write_text(json.dumps(values | {"hashes": hashes()}).replace("NaN", "null"))
    torch_files()


main()
