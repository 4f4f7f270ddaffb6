"""One picture by diffusers and by LoRALab: the same prompt, seed, sampler, steps, guidance and size."""
import pathlib
import random
import tempfile

import numpy as np
import torch
from diffusers import (
    DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler, LCMScheduler, LMSDiscreteScheduler, PNDMScheduler, UniPCMultistepScheduler,
)
from PIL import Image

from kernel import magic
from report import FAILED, PASSED, REFERENCE, UNSTABLE, difference, is_close

# LoRALab's names -> diffusers' classes with what their names ask for.
SAMPLERS = {
    "ddim": (DDIMScheduler, {}), "pndm": (PNDMScheduler, {}), "lms": (LMSDiscreteScheduler, {}), "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}), "heun": (HeunDiscreteScheduler, {}), "dpm_2": (KDPM2DiscreteScheduler, {}),
    "dpm_2_a": (KDPM2AncestralDiscreteScheduler, {}), "dpmsolver++": (DPMSolverMultistepScheduler, {}),
    "dpmsolver++_karras": (DPMSolverMultistepScheduler, dict(use_karras_sigmas=True)),
    "dpmsolver++_sde": (DPMSolverMultistepScheduler, dict(algorithm_type="sde-dpmsolver++")),
    "unipc": (UniPCMultistepScheduler, {}), "lcm": (LCMScheduler, {}),
}

WORDS = (
    "a the of on with and red blue glossy matte metallic orange teal white sphere cube cylinder cone torus pyramid server database cloud "
    "shield lock gear isometric view studio lighting background alibaba style icon 3d artist's don't they're 4k 1girl masterpiece "
    "best-quality café naïve ultra-detailed 8k, 立方体 шар snow_man under_score über :) 50% & + = half-finished").split()
LETTERS = "abcXYZ 0123456789 .,'!?;:-_{}<>|/\"#@$%^&*+=~` éàüñçøåÅß ΑΒΓΣσς абвгд ЁЙё 一个红色的立方体，。！？ 日本語カタカナｶﾞ 한국어 🙂🚀👩‍👩‍👧 e\u0301 ﬁ½²Ⅷ① \u00a0\u3000"
MARKS = [",", ",", ",", ".", ";", " -", "!", "?", " /"]


def random_prompt(r, tokenizers, most=75):
    """Words, marks, numbers and foreign letters, without brackets, which are weights to LoRALab; at most so many tokens."""
    while True:
        words = []
        for _ in range(r.choice([1, 3, 6, 10, 20, 40])):
            words.append(r.choice(WORDS) + (r.choice(MARKS) if r.random() < 0.3 else ""))
        text = " ".join(words)
        if r.random() < 0.1:
            text = text.upper()
        if r.random() < 0.15:
            text = "".join(r.choice(LETTERS) for _ in range(r.randint(1, 40))).strip() or "x"
        if all(len(t(text, add_special_tokens=False).input_ids) <= most for t in tokenizers):
            return text


def tokenizers(pipe):
    return [t for t in (pipe.tokenizer, getattr(pipe, "tokenizer_2", None)) if t is not None]


def random_picture(r, pipe, sampler=None, multiple=8):
    """What to draw. `multiple`: of both sides, pixels."""
    case = dict(
        prompt=random_prompt(r, tokenizers(pipe)), negative=random_prompt(r, tokenizers(pipe)) if r.random() < 0.6 else None,
        seed=r.choice([r.randrange(1000), r.randrange(1 << 32)]), sampler=sampler or r.choice(list(SAMPLERS)),
        steps=r.choice([1, 2, 3, 4, 5, 7, 10, 14, 18, 25]), guidance=r.choice([1, 1.5, 3, 5, 7, 7.5, round(r.uniform(1, 9), 2)]),
        width=r.randrange(64, 161, multiple), height=r.randrange(64, 161, multiple), clip_skip=None)
    if not hasattr(pipe, "text_encoder_2") and r.random() < 0.2:
        case["clip_skip"] = 2
    return case


# --- the referee ----------------------------------------------------------------------------------------------------------

class NoReference(Exception):
    """diffusers itself fails at a case: some of its samplers take no single step, or count one too many."""


@torch.no_grad()
def reference(pipe, case, tremble=0.0):
    """The picture as diffusers draws it, bytes [H, W, 3].

    tremble: relative noise on every output of the denoiser, to see how much a rounding error grows.
    """
    known = getattr(pipe, "parity_scheduler", None) or pipe.scheduler
    pipe.parity_scheduler = known
    cls, options = SAMPLERS[case["sampler"]]
    pipe.scheduler = cls.from_config(known.config, **options)
    texts = dict(prompt=case["prompt"], negative_prompt=case["negative"])
    if case.get("clip_skip"):
        # diffusers skips layers for the prompt alone; SD WebUI, which LoRALab follows, for the negative prompt, too.
        texts = dict(zip(("prompt_embeds", "negative_prompt_embeds"), (skipped(pipe, t, case["clip_skip"]) for t in (case["prompt"], case["negative"] or ""))))
    noise = torch.Generator().manual_seed(0)

    def shaken(_, __, output):
        y = output[0]
        return (y + tremble * y.std() * torch.randn(y.shape, generator=noise),)

    handle = pipe.unet.register_forward_hook(shaken) if tremble else None
    try:
        picture = pipe(
            **texts, num_inference_steps=case["steps"], guidance_scale=case["guidance"], width=case["width"], height=case["height"],
            generator=torch.Generator("cpu").manual_seed(case["seed"]), output_type="np").images[0]
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise NoReference(f"diffusers: {type(error).__name__}: {error}") from None
    finally:
        if handle:
            handle.remove()
        pipe.scheduler = known
    return (picture * 255).round().astype(np.uint8)


def skipped(pipe, text, layer):
    """Text states of the n-th layer from the end."""
    encoder = pipe.text_encoder
    if not hasattr(encoder, "text_model"):
        object.__setattr__(encoder, "text_model", encoder)      # transformers 5 has dropped the scope in which diffusers looks here
    try:
        return pipe.encode_prompt(text, "cpu", 1, False, clip_skip=layer - 1)[0]
    finally:
        encoder.__dict__.pop("text_model", None)


# --- LoRALab --------------------------------------------------------------------------------------------------------------

def sample_cell(case, folder, **flags):
    return magic(
        "sample", case["prompt"], n=case["negative"], d=case["seed"], s=case["steps"], ss=case["sampler"], l=case["guidance"], w=case["width"],
        h=case["height"], clip_skip=case.get("clip_skip"), save=folder, **flags)


def draw(kernel, case, **flags):
    """The picture as the kernel draws and saves it, and the cell."""
    with tempfile.TemporaryDirectory(prefix="parity-picture") as folder:
        cell = sample_cell(case, folder, **flags)
        kernel.run(cell)
        files = sorted(pathlib.Path(folder).glob("*.png"))
        assert len(files) == 1, f"{len(files)} pictures were saved"
        return np.asarray(Image.open(files[0]).convert("RGB")).copy()


# --- the comparison -------------------------------------------------------------------------------------------------------

def judge(pipe, case, theirs, ours):
    """Verdict, mean and maximum in words, and a note.

    A picture out of bounds is called unstable, not wrong, where diffusers' own picture moves as much when its denoiser trembles by
    a rounding error.
    """
    found = difference(ours, theirs)
    if found is None:
        return FAILED, "-", "-", f"{ours.shape[1]}x{ours.shape[0]} pixels"
    if is_close(found):
        return PASSED, f"{found[0]:.3f}", found[1], ""
    moved = difference(reference(pipe, case, tremble=2e-6), theirs)
    verdict = UNSTABLE if moved[0] * 4 >= found[0] or moved[1] * 4 >= found[1] and found[0] < 1 else FAILED
    return verdict, f"{found[0]:.3f}", found[1], f"diffusers itself moves by {moved[0]:.3f}, {moved[1]} at a rounding error"


def alone(pipe, case, theirs):
    """What can be told without the kernel: whether the picture is one, and whether it is stable."""
    moved = difference(reference(pipe, case, tremble=2e-6), theirs)
    extreme = float(((theirs == 0) | (theirs == 255)).mean())
    note = f"deviation {theirs.std():.0f}, {extreme:.0%} black or white"
    return REFERENCE, f"{moved[0]:.3f}", moved[1], note
