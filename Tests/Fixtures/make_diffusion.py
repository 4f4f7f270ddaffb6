"""Fixtures of the random generators, the noise schedule, the samplers and the loss, from torch and diffusers.

Run with a Python that has torch and diffusers; writes Tests/Fixtures/diffusion/*.json beside itself.
"""
import json
import pathlib

import numpy as np
import torch
from diffusers import (
    DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
)

OUT = pathlib.Path(__file__).parent / "diffusion"
STABLE_DIFFUSION = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)


def write(name, value):
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(value))


def numbers(tensor):
    """float32 values in their shortest decimal form."""
    return [float(str(x)) for x in tensor.flatten().numpy()]


def random_cases():
    cases = []
    for seed in (0, 1, 42, 1234567890, 2**32 - 1):
        g = torch.Generator().manual_seed(seed)
        case = dict(seed=seed, calls=[])
        for kind, n in [("rand", 5), ("randn", 7), ("randn", 3), ("randn", 16), ("randint", 1000), ("randn", 37), ("randperm", 21),
                        ("randn", 1), ("randint", 7), ("randint", 3 * 2**30), ("rand", 700), ("randn", 4096), ("randperm", 1)]:
            if kind == "rand":
                values = numbers(torch.rand(n, generator=g))
            elif kind == "randn":
                values = numbers(torch.randn(n, generator=g))
            elif kind == "randint":
                values = torch.randint(0, n, (4,), generator=g).tolist()
            else:
                values = torch.randperm(n, generator=g).tolist()
            if len(values) > 200:   # keep the file small: ends and a sum
                case["calls"].append(dict(kind=kind, n=n, head=values[:20], tail=values[-20:], sum=float(np.sum(np.float64(values)))))
            else:
                case["calls"].append(dict(kind=kind, n=n, values=values))
        cases.append(case)
    write("random", cases)


def schedule_cases():
    cases = []
    for name, config in [
        ("stable_diffusion", STABLE_DIFFUSION),
        ("linear", dict(beta_start=0.0001, beta_end=0.02, beta_schedule="linear", num_train_timesteps=1000)),
        ("zero_terminal_snr", dict(**STABLE_DIFFUSION, prediction_type="v_prediction", rescale_betas_zero_snr=True)),
        ("short", dict(**{**STABLE_DIFFUSION, "num_train_timesteps": 250})),
    ]:
        s = DDPMScheduler(**config)
        x, e = torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(1)), torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(2))
        t = torch.tensor([3, s.config.num_train_timesteps - 2])
        nhwc = lambda v: numbers(v.permute(0, 2, 3, 1))
        cases.append(dict(
            name=name, config=config, betas=numbers(s.betas), alphas_cumprod=numbers(s.alphas_cumprod), timesteps=t.tolist(),
            latents=nhwc(x), noise=nhwc(e), noised=nhwc(s.add_noise(x, e, t)), velocity=nhwc(s.get_velocity(x, e, t))))
    write("schedule", cases)


def predictor(x, t):
    """Deterministic stand-in for a denoiser: smooth, of unit size, dependent on place and time; written alike in the Swift test."""
    return 0.8 * torch.tanh(x * 0.5) + 0.2 * torch.sin(x * 1.7 + float(t) / 321.0) + 0.05 * torch.cos(torch.tensor(float(t) / 97.0))


def run(scheduler, steps, seeds, shape=(2, 4, 2, 3)):
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    if len(seeds) == 1:
        generators = generators[0]
        x = torch.randn(shape, generator=generators)
    else:
        x = torch.cat([torch.randn((1, *shape[1:]), generator=g) for g in generators])
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        inputs = scheduler.scale_model_input(x, t)
        e = predictor(inputs, t)
        try:
            x = scheduler.step(e, t, x, generator=generators).prev_sample
        except TypeError:
            x = scheduler.step(e, t, x).prev_sample
    return dict(initial_noise_scale=float(scheduler.init_noise_sigma), timesteps=[float(t) for t in scheduler.timesteps], latents=numbers(x.permute(0, 2, 3, 1)))


def sampler_cases():
    configs = dict(
        kohya=STABLE_DIFFUSION,
        checkpoint=dict(**STABLE_DIFFUSION, _class_name="PNDMScheduler", clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None),
        leading=dict(**STABLE_DIFFUSION, clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="leading"),
        trailing_v=dict(**STABLE_DIFFUSION, clip_sample=False, prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True),
        linspace_v=dict(**STABLE_DIFFUSION, clip_sample=False, prediction_type="v_prediction", timestep_spacing="linspace"),
    )
    classes = dict(
        ddim=(DDIMScheduler, {}), euler=(EulerDiscreteScheduler, {}), euler_a=(EulerAncestralDiscreteScheduler, {}), heun=(HeunDiscreteScheduler, {}),
        **{"dpm++_2m": (DPMSolverMultistepScheduler, {}), "dpm++_2m_karras": (DPMSolverMultistepScheduler, dict(use_karras_sigmas=True))})
    cases = []
    for config_name, config in configs.items():
        for sampler, (cls, extra) in classes.items():
            if config_name == "trailing_v" and sampler in ("heun", "dpm++_2m_karras"):
                continue    # diffusers' Heun knows no zero terminal SNR; its Karras steps fail there for want of distinct timesteps
            for steps, seeds in [(1, [3]), (2, [3]), (5, [7, 8]), (14, [1]), (20, [0]), (30, [11, 12])]:
                with np.errstate(all="ignore"):
                    scheduler = cls.from_config({**config, **extra})
                    cases.append(dict(config_name=config_name, config=config, sampler=sampler, steps=steps, seeds=seeds, **run(scheduler, steps, seeds)))
    write("samplers", cases)


def main():
    random_cases()
    schedule_cases()
    sampler_cases()


if __name__ == "__main__":
    main()
