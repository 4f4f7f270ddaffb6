#!/usr/bin/env python3
"""Fixtures for NeuralTests: AdamW, clipping and schedules as torch and transformers have them.

Written to neural/: `adamw.safetensors` (parameters and state after 1 and 5 steps on formula gradients), `schedules.json`
(multipliers of every schedule for steps 0...44), `clipping.json`. Needs: torch transformers safetensors.
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import optimization

import formula

OUT = pathlib.Path(__file__).parent / "neural"
SHAPES = {"a": (3, 5), "b": (7,), "c": (2, 2, 3)}


def adamw():
    tensors = {}
    for case, options in {"default": {}, "other": dict(betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)}.items():
        parameters = {k: torch.nn.Parameter(torch.from_numpy(formula.signed(f"value.{k}", s))) for k, s in SHAPES.items()}
        optimizer = torch.optim.AdamW(parameters.values(), lr=1.0, foreach=False, fused=False, **options)
        for step in range(5):
            optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
            for k, p in parameters.items():
                p.grad = torch.from_numpy(formula.signed(f"gradient.{step}.{k}", SHAPES[k]))
            optimizer.step()
            if step in (0, 4):
                tensors |= {f"{case}.{step + 1}.{k}": p.detach().clone() for k, p in parameters.items()}
        for k, p in parameters.items():
            for part in ("exp_avg", "exp_avg_sq"):
                tensors[f"{case}.state.{k}.{part}"] = optimizer.state[p][part].clone()
    save_file(tensors, OUT / "adamw.safetensors")


def multipliers(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make(optimizer)
    rates = []
    for _ in range(45):
        rates.append(optimizer.param_groups[0]["lr"] / 0.5)
        optimizer.step()
        scheduler.step()
    return rates


def schedules():
    o = optimization
    cases = {
        "constant": lambda x: o.get_constant_schedule(x),
        "constant_with_warmup": lambda x: o.get_constant_schedule_with_warmup(x, 6),
        "linear": lambda x: o.get_linear_schedule_with_warmup(x, 6, 40),
        "cosine": lambda x: o.get_cosine_schedule_with_warmup(x, 6, 40),
        "cosine_with_restarts": lambda x: o.get_cosine_with_hard_restarts_schedule_with_warmup(x, 6, 40, 3),
        "polynomial": lambda x: o.get_polynomial_decay_schedule_with_warmup(x, 6, 40, lr_end=1e-3, power=2.0),
        "inverse_sqrt": lambda x: o.get_inverse_sqrt_schedule(x, 6),
        "inverse_sqrt_timescale": lambda x: o.get_inverse_sqrt_schedule(x, 6, timescale=11),
        "cosine_with_min_lr": lambda x: o.get_cosine_with_min_lr_schedule_with_warmup(x, 6, 40, min_lr_rate=0.1),
        "warmup_stable_decay": lambda x: o.get_wsd_schedule(x, 6, 12, num_training_steps=40, min_lr_ratio=0.1),
    }
    (OUT / "schedules.json").write_text(json.dumps({k: multipliers(v) for k, v in cases.items()}, indent=1) + "\n")


def clipping():
    record = {}
    for limit in (0.5, 100.0):
        parameters = [torch.nn.Parameter(torch.zeros(s)) for s in SHAPES.values()]
        for (k, s), p in zip(SHAPES.items(), parameters):
            p.grad = torch.from_numpy(formula.signed(f"clip.{k}", s, 3))
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        record[str(limit)] = dict(norm=float(norm), gradients=[p.grad.flatten().tolist() for p in parameters])
    (OUT / "clipping.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    adamw()
    schedules()
    clipping()
