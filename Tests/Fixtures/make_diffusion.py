"""Fixtures of the random generators, the noise schedule, the samplers and the loss, from torch and diffusers.

Run with a Python that has torch and diffusers; writes Tests/Fixtures/diffusion/*.json beside itself.
"""
import inspect
import json
import pathlib
import random

import numpy as np
import torch
from diffusers import (
    DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler, LCMScheduler, LMSDiscreteScheduler, PNDMScheduler, UniPCMultistepScheduler,
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
        ("cosine", dict(beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000)),
        ("trained", dict(num_train_timesteps=20, trained_betas=[0.001 * (i + 1) for i in range(20)])),
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


def run(scheduler, steps, seeds, shape):
    """A pipeline's loop: latents, then whatever the scheduler draws, from the same generators."""
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    x = torch.cat([torch.randn((1, *shape[1:]), generator=g) for g in generators])
    extra = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(predictor(scheduler.scale_model_input(x, t), t), t, x, **extra, return_dict=False)[0]
    return dict(
        initial_noise_scale=float(f"{float(scheduler.init_noise_sigma):.8g}"), timesteps=[float(f"{float(t):.7g}") for t in scheduler.timesteps],
        latents=numbers(x.permute(0, 2, 3, 1)))


SAMPLERS = {
    "ddim": (DDIMScheduler, {}), "pndm": (PNDMScheduler, {}), "lms": (LMSDiscreteScheduler, {}), "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}), "heun": (HeunDiscreteScheduler, {}), "dpm_2": (KDPM2DiscreteScheduler, {}),
    "dpm_2_a": (KDPM2AncestralDiscreteScheduler, {}), "dpmsolver++": (DPMSolverMultistepScheduler, {}),
    "dpmsolver++_karras": (DPMSolverMultistepScheduler, dict(use_karras_sigmas=True)),
    "dpmsolver++_sde": (DPMSolverMultistepScheduler, dict(algorithm_type="sde-dpmsolver++")), "unipc": (UniPCMultistepScheduler, {}), "lcm": (LCMScheduler, {}),
}
STEPS = (1, 2, 3, 4, 7, 14, 15, 20, 25, 50)
FAMILIES = {   # as the checkpoints' scheduler/scheduler_config.json have them
    "sd15": dict(**STABLE_DIFFUSION, _class_name="PNDMScheduler", clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None),
    "sd21_768": dict(**STABLE_DIFFUSION, _class_name="DDIMScheduler", clip_sample=False, prediction_type="v_prediction", set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None),
    "sdxl": dict(
        **STABLE_DIFFUSION, _class_name="EulerDiscreteScheduler", clip_sample=False, interpolation_type="linear", prediction_type="epsilon", sample_max_value=1.0, set_alpha_to_one=False,
        skip_prk_steps=True, steps_offset=1, timestep_spacing="leading", trained_betas=None, use_karras_sigmas=False),
    "silent": dict(_class_name="DDPMScheduler"),
}


def random_config(r):
    """A configuration of any class's keys, each present or not."""
    choices = dict(
        num_train_timesteps=[1000, 1000, 1000, 500, 250], beta_start=[0.00085, 0.0001], beta_end=[0.012, 0.02], beta_schedule=["linear", "scaled_linear", "squaredcos_cap_v2"],
        prediction_type=["epsilon", "v_prediction", "v_prediction", "sample"], timestep_spacing=["leading", "trailing", "linspace"], steps_offset=[0, 1, 3],
        set_alpha_to_one=[True, False], clip_sample=[True, False], clip_sample_range=[1.0, 2.0], thresholding=[True, False, False], dynamic_thresholding_ratio=[0.9, 0.995], sample_max_value=[1.0, 1.5],
        rescale_betas_zero_snr=[True, False, False], skip_prk_steps=[True, False], final_sigmas_type=["zero", "sigma_min"], solver_order=[1, 2, 3], lower_order_final=[True, False],
        euler_at_final=[True, False], solver_type=["midpoint", "heun", "bh1", "bh2"], algorithm_type=["dpmsolver++", "sde-dpmsolver++"], lambda_min_clipped=[-5.1, -3.0],
        interpolation_type=["linear", "log_linear"], sigma_min=[0.03], sigma_max=[12.0], original_inference_steps=[50, 100], timestep_scaling=[10.0, 5.0], disable_corrector=[[0], [1, 2]])
    config = {key: r.choice(values) for key, values in choices.items() if r.random() < 0.4}
    if r.random() < 0.1:
        n = config.get("num_train_timesteps", 1000)
        config["trained_betas"] = [float(f"{0.0005 + 0.015 * i / n:.5g}") for i in range(n)] if n == 250 else None
    spacing = r.choice(["use_karras_sigmas", "use_exponential_sigmas", "use_lu_lambdas", None, None])
    if spacing:
        config[spacing] = True
    return config


def sampler_cases(randoms=150, shape=(1, 4, 2, 3)):
    configs, cases = dict(FAMILIES), []

    def add(config_name, sampler, steps, seeds):
        cls, extra = SAMPLERS[sampler]
        if configs[config_name].get("use_exponential_sigmas") and cls in (DPMSolverMultistepScheduler, UniPCMultistepScheduler):
            return    # their timesteps are cut to whole ones: the first, 999 or 998, hangs on the last bit of a logarithm
        with np.errstate(all="ignore"):
            try:
                result = run(cls.from_config({**configs[config_name], **extra}), steps, seeds, (len(seeds), *shape[1:]))
            except (IndexError, ValueError, NotImplementedError, torch.linalg.LinAlgError, AssertionError):    # what the class itself cannot do
                return
        # Some classes divide by zero, or visit a timestep −1.
        if np.isfinite(result["latents"]).all() and min(result["timesteps"]) >= 0:
            cases.append(dict(config_name=config_name, sampler=sampler, steps=steps, seeds=seeds, **result))

    for config_name in FAMILIES:
        for sampler in SAMPLERS:
            for steps in STEPS:
                add(config_name, sampler, steps, [steps])
    r = random.Random(7)
    for i in range(randoms):
        configs[f"random {i}"] = random_config(r)
        add(f"random {i}", r.choice(list(SAMPLERS)), r.choice(STEPS + (5, 10, 30, 48)), [r.randrange(2**32)] if r.random() < 0.7 else [1, 2])
    used = {case["config_name"] for case in cases}
    write("samplers", dict(configs={name: config for name, config in configs.items() if name in used}, cases=cases))


def main():
    random_cases()
    schedule_cases()
    sampler_cases()


if __name__ == "__main__":
    main()
