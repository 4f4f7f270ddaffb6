"""`training`: steps of AdamW on a LoRA by PyTorch, with diffusers' models, against those of `%train`.

LoRALab draws noise and timesteps as torch's generator does, so the same seed gives both the same numbers; the initial factors are
LoRALab's own, as its first saved file holds them, and are checked against torch's generator, too. Compared are the final factors.
"""
import pathlib
import random
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import get_scheduler

import models
from adapters import ldm_table, parts_of
from folders import write_dataset
from kernel import CellError, magic
from report import FAILED, PASSED, REFERENCE, UNSTABLE, Report

SIDES = ("down", "up")  # A and B
BOUND = 1e-3            # relative, over all factors of one side
CACHE_STRIDE = 0x9E3779B9
WEIGHTS_SEED = 0x5EED0BAD


def add_arguments(parser):
    parser.add_argument("--family", choices=models.FAMILIES, help="models of this family only")
    parser.add_argument("--steps", type=int, default=10, help="steps of AdamW a case")


def run(options, kernel):
    columns = {"model": 36, "run": 66, "A": 9, "B": 9, "draws": 6, "note": 0}
    report = Report("training", columns, options.keep)
    r = random.Random(options.seed)
    for index in range(options.count):
        recipe = models.random_recipe(r.randrange(1 << 30), options.family, single_file=False, plain_noise=True)
        with tempfile.TemporaryDirectory(prefix="parity-model") as folder:
            one(report, kernel, options, r, recipe, pathlib.Path(folder), f"model-{index}")
    return report.finish()


def one(report, kernel, options, r, recipe, folder, name):
    path = models.write(recipe, folder)["folder"]
    # Four cells and more on the lowest level: a normalisation over a single cell is nothing but rounding errors.
    step = max(32, 2 << (len(recipe["vae"]["block_out_channels"]) + len(recipe["unet"]["block_out_channels"]) - 2))
    items = write_dataset(r, folder / "pictures", r.randint(2, 5), r.randint(1, 2), [step, step + 8, 2 * step - 4, 2 * step, 2 * step + step // 2])
    settings = random_settings(r, recipe["family"])
    columns = [models.describe(recipe), " ".join(f"{k}={v}" for k, v in settings.items() if v is not None and k != "seed")]
    drawn, start, end = (folder / f"{file}.safetensors" for file in ("drawn", "start", "end"))
    still = settings | dict(lr=1e-12, te_lr=settings["te_lr"] and 1e-12, weight_decay=0)     # a step that makes the initial factors and moves nothing
    first = [
        magic("model", path), magic("dataset", folder / "pictures", resolution=3 * step, bucket_reso_steps=step),
        magic("train", fresh=True, steps=1, **still), magic("save", drawn, save_precision="float")]
    then = [magic("train", fresh=True, steps=options.steps, network_weights=start, **settings), magic("save", end, save_precision="float")]
    run = lambda initial, tremble=None: train(models.load(path), initial, items, step, settings, options.steps, tremble)
    if options.reference_only:
        initial = fresh_factors(models.load(path), settings)
        final, losses = run(initial)
        report.add(REFERENCE, *columns, *(f"{change(final, initial, side):.2f}" for side in SIDES), "-", note=f"loss {losses[0]:.3f} to {losses[-1]:.3f}")
        return
    try:
        for cell in first:
            kernel.run(cell)
        initial = {k: torch.zeros_like(v) if "lora_up" in k else v for k, v in load_file(drawn).items()}
        save_file(initial, start)
        for cell in then:
            kernel.run(cell)
        errors, is_torch, notes, verdict = judge(load_file(end), initial, run, settings["seed"])
    except CellError as error:
        errors, is_torch, notes, verdict = [], None, [str(error)], FAILED
    report.add(
        verdict, *columns, *([f"{e:.1e}" for e in errors] or "--"), {True: "torch", False: "other", None: "-"}[is_torch], note="; ".join(notes))
    if verdict == FAILED:
        report.save(name, folder, dict(recipe=recipe, settings=settings), first + then)


def random_settings(r, family):
    """`%train`'s flags; None is left out."""
    rank = r.choice([2, 4])
    alpha = r.choice([rank, 1, 3])
    conv_dim, conv_alpha = r.choice([(None, None), (None, None), (rank, alpha), (2, None), (3, 1)])
    return dict(
        seed=r.randrange(1 << 31), train_batch_size=r.choice([1, 2, 3]), rank=rank, alpha=alpha, conv_dim=conv_dim, conv_alpha=conv_alpha,
        lr=r.choice([1e-3, 5e-3]), te_lr=r.choice([None, 2e-3]), lr_scheduler=r.choice(["constant", "cosine", "linear"]), weight_decay=r.choice([None, 0.1]),
        max_grad_norm=r.choice([None, 0, 0.01]), min_snr_gamma=r.choice([None, None, 5]), noise_offset=r.choice([None, None, 0.05]),
        gradient_accumulation_steps=r.choice([None, None, 2]), clip_skip=r.choice([None, None, 2]) if family != "sdxl" else None)


def judge(ours, initial, run, seed):
    """Errors of A and B, whether the initial A are torch's numbers, notes, and the verdict.

    Factors out of bounds are called unstable, not wrong, where PyTorch's own move as much at rounding errors.
    """
    if complaint := altered(ours, initial):
        return [], None, [complaint], FAILED
    final, losses = run(initial)
    errors = [distance(ours, final, initial, side) for side in SIDES]
    is_torch, stray = are_drawn(initial, seed), strays(ours, final, initial)
    notes = [f"loss {losses[0]:.3f} to {losses[-1]:.3f}"]
    if max(errors) <= BOUND and is_torch and not stray:
        return errors, is_torch, notes, PASSED
    if stray:
        notes.append(f"{len(stray)} factors without gradient have moved, such as {stray[0]}")
    trembled = [run(initial, tremble=seed)[0] for seed in range(3)]
    own = max(distance(other, final, initial, side) for other in trembled for side in SIDES)
    notes.append(f"PyTorch itself moves by {own:.1e} at rounding errors")
    is_unstable = is_torch and not stray and own * 4 >= max(errors)
    return errors, is_torch, notes, UNSTABLE if is_unstable else FAILED


# --- comparison -----------------------------------------------------------------------------------------------------------

def altered(ours, initial):
    """What training must leave as it is: which layers there are, their ranks and alphas."""
    if ours.keys() != initial.keys():
        return f"other tensors: {sorted(ours.keys() ^ initial.keys())[:2]}"
    other = [k for k in ours if ours[k].shape != initial[k].shape or k.endswith("alpha") and ours[k] != initial[k]]
    describe = lambda v: f"{v.item()}" if v.ndim == 0 else str(list(v.shape))
    return f"{len(other)} ranks or alphas have changed, such as {other[0]}: {describe(initial[other[0]])} to {describe(ours[other[0]])}" if other else ""


def flat(factors, keys):
    return torch.cat([factors[k].double().flatten() for k in keys] or [torch.zeros(1)])


def moved(final, initial, side):
    """Factors that PyTorch has changed, and those it has left alone: layers that the loss does not see get no step at all, not
    even weight decay."""
    keys = sorted(k for k in final if f"lora_{side}" in k)
    return [k for k in keys if not torch.equal(final[k], initial[k])], [k for k in keys if torch.equal(final[k], initial[k])]


def change(final, initial, side):
    keys, _ = moved(final, initial, side)
    return float((flat(final, keys) - flat(initial, keys)).norm())


def distance(ours, theirs, initial, side):
    """Relative to how far the factors have moved."""
    keys, _ = moved(theirs, initial, side)
    return float((flat(ours, keys) - flat(theirs, keys)).norm()) / max(change(theirs, initial, side), 1e-12)


def strays(ours, theirs, initial):
    """Factors that PyTorch leaves alone and LoRALab does not."""
    return [k for side in SIDES for k in moved(theirs, initial, side)[1] if not torch.allclose(ours[k], initial[k], rtol=0, atol=1e-7)]


def are_drawn(initial, seed):
    """Whether the initial A are torch.rand of the weights' seed in ±1/√fan_in, module after module in some order without a gap."""
    downs = [v.flatten() for k, v in initial.items() if "lora_down" in k]
    fans = [v[0].numel() for k, v in initial.items() if "lora_down" in k]
    total = sum(v.numel() for v in downs)
    stream = torch.rand(total, generator=torch.Generator().manual_seed((seed + WEIGHTS_SEED) % (1 << 32)))
    at = 0
    open_ = list(zip(downs, fans))
    while open_:
        found = [i for i, (v, fan) in enumerate(open_) if torch.allclose((stream[at:at + v.numel()] * 2 - 1) / fan ** 0.5, v, atol=1e-6)]
        if not found:
            return False
        at += open_.pop(found[0])[0].numel()
    return True


# --- PyTorch's side -------------------------------------------------------------------------------------------------------

class LoRA:
    """Low-rank factors beside a layer, by a hook: y + α/r · B(A x)."""

    def __init__(self, module, down, up, alpha):
        self.down, self.up = torch.nn.Parameter(down.clone()), torch.nn.Parameter(up.clone())
        self.scale, self.module = alpha / down.shape[0], module
        module.register_forward_hook(self)

    def __call__(self, module, inputs, output):
        x = inputs[0]
        if isinstance(module, torch.nn.Linear):
            return output + F.linear(F.linear(x, self.down), self.up) * self.scale
        return output + F.conv2d(F.conv2d(x, self.down, stride=module.stride, padding=module.padding), self.up) * self.scale


def layers(pipe):
    """Kohya's name -> (layer, whether it is the UNet's), by all spellings."""
    found, ldm = {}, ldm_table(pipe.unet)
    for name, part in parts_of(pipe).items():
        is_xl = hasattr(pipe, "text_encoder_2")
        prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_" if is_xl else "lora_te_", "text_encoder_2": "lora_te2_"}[name]
        for path, module in part.named_modules():
            if not isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
                continue
            scoped = path if name == "unet" or path.startswith("text_model.") else "text_model." + path
            for spelling in {scoped, ldm.get(path, scoped)} if name == "unet" else {scoped}:
                found[prefix + spelling.replace(".", "_")] = (module, name == "unet")
    return found


def fresh_factors(pipe, settings):
    """For a look at the referee alone: factors on the layers that LoRALab would adapt."""
    state, g = {}, torch.Generator().manual_seed(settings["seed"])
    for name, (module, is_unet) in layers(pipe).items():
        inside = "_attentions_" in name if is_unet else settings["te_lr"] and ("self_attn" in name or "_mlp_" in name)
        if inside and not (isinstance(module, torch.nn.Conv2d) and module.kernel_size != (1, 1)):
            out, inn = module.weight.shape[:2]
            tail = (1, 1) if module.weight.ndim == 4 else ()
            state[f"{name}.lora_down.weight"] = (torch.rand(settings["rank"], inn, *tail, generator=g) * 2 - 1) / inn ** 0.5
            state[f"{name}.lora_up.weight"] = torch.zeros(out, settings["rank"], *tail)
            state[f"{name}.alpha"] = torch.tensor(float(settings["alpha"]))
    return state


def train(pipe, initial, items, bucket_step, settings, steps, tremble=None):
    """The whole run; returns the final factors under the initial ones' names, and the losses.

    tremble: seed of rounding errors in the denoiser's outputs and in the gradients, to see what becomes of them: AdamW's first
    steps go by a gradient's sign, however small it is.
    """
    if tremble is not None:
        g = torch.Generator().manual_seed(tremble)
        pipe.unet.conv_out.register_forward_hook(lambda _, __, y: y + 1e-6 * y.detach().std() * torch.randn(y.shape, generator=g))
    for part in [*parts_of(pipe).values(), pipe.vae]:
        part.requires_grad_(False)
    table = layers(pipe)
    loras, groups = {}, {True: [], False: []}
    for key in initial:
        if key.endswith("lora_down.weight"):
            name = key.removesuffix(".lora_down.weight")
            module, is_unet = table[name]
            loras[name] = LoRA(module, initial[key], initial[f"{name}.lora_up.weight"], float(initial[f"{name}.alpha"]))
            groups[is_unet] += [loras[name].down, loras[name].up]
    decay = 0.01 if settings["weight_decay"] is None else settings["weight_decay"]
    optimizer = torch.optim.AdamW(
        [dict(params=groups[True], lr=settings["lr"]), dict(params=groups[False], lr=settings["te_lr"] or settings["lr"])], weight_decay=decay, foreach=False)
    schedule = get_scheduler(settings["lr_scheduler"], optimizer, num_warmup_steps=0, num_training_steps=steps)
    pictures = [Picture(*item, bucket_step) for item in items]
    latents = [encode(pipe, picture, settings["seed"] + i * CACHE_STRIDE) for i, picture in enumerate(pictures)]
    repeats = int(items[0][0].parent.name.split("_")[0])
    noise = torch.Generator().manual_seed(settings["seed"] % (1 << 32))
    accumulation, losses = settings["gradient_accumulation_steps"] or 1, []
    parameters = groups[True] + groups[False]
    for parts in plan(pictures, repeats, settings, steps, accumulation):
        optimizer.zero_grad()
        total = 0.0
        for batch in parts:
            loss = loss_of(pipe, [pictures[i] for i in batch], torch.cat([latents[i] for i in batch]), noise, settings) / len(parts)
            loss.backward()
            total += loss.item()
        losses.append(total)
        if tremble is not None:
            for p in parameters:
                if p.grad is not None:
                    p.grad.add_(1e-5 * p.grad.square().mean().sqrt() * torch.randn(p.shape, generator=g))
        limit = 1.0 if settings["max_grad_norm"] is None else settings["max_grad_norm"]
        if limit:
            torch.nn.utils.clip_grad_norm_(parameters, limit)
        optimizer.step()
        schedule.step()
    final = dict(initial)
    for name, lora in loras.items():
        final[f"{name}.lora_down.weight"], final[f"{name}.lora_up.weight"] = lora.down.detach().clone(), lora.up.detach().clone()
    return final, losses


class Picture:
    """A picture in its bucket: cut out of the middle, as no picture here is larger than the resolution."""

    def __init__(self, path, width, height, caption, step):
        self.path, self.size, self.caption = path, (width, height), caption
        self.bucket = (width // step * step, height // step * step)

    def pixels(self):
        x = np.asarray(Image.open(self.path).convert("RGB"))
        (width, height), (w, h) = self.size, self.bucket
        left, top = (width - w) // 2, (height - h) // 2
        return ((torch.from_numpy(x[top:top + h, left:left + w].copy()).float() / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]

    def time_ids(self):
        """What SDXL is told: original size, crop and target size as sd-scripts' BucketManager.get_crop_ltrb has them; heights first."""
        (width, height), (w, h) = self.size, self.bucket
        aspect = width / height
        resized = (h * aspect, h) if w / h > aspect else (w, w / aspect)
        return [height, width, int((h - resized[1]) // 2), int((w - resized[0]) // 2), h, w]


@torch.no_grad()
def encode(pipe, picture, seed):
    """A sample of the posterior, kept: its noise is drawn as [height, width, channels]."""
    posterior = pipe.vae.encode(picture.pixels()).latent_dist
    _, c, h, w = posterior.mean.shape
    noise = torch.randn(h * w * c, generator=torch.Generator().manual_seed(seed % (1 << 32))).reshape(1, h, w, c).permute(0, 3, 1, 2)
    return (posterior.mean + (posterior.logvar * 0.5).exp() * noise) * pipe.vae.config.scaling_factor


def plan(pictures, repeats, settings, steps, accumulation):
    """The batches of each update: every epoch a shuffle within each bucket, then one of the batches."""
    done, epoch, size = 0, 0, settings["train_batch_size"]
    while done < steps:
        epoch += 1
        g = torch.Generator().manual_seed((settings["seed"] + epoch) % (1 << 32))
        batches = []
        for bucket in sorted({p.bucket for p in pictures}):
            visits = [i for i, p in enumerate(pictures) if p.bucket == bucket for _ in range(repeats)]
            order = [visits[j] for j in torch.randperm(len(visits), generator=g)]
            batches += [order[i:i + size] for i in range(0, len(order), size)]
        batches = [batches[j] for j in torch.randperm(len(batches), generator=g)]
        for start in range(0, len(batches), accumulation):
            if done < steps:
                yield batches[start:start + accumulation]
                done += 1


def loss_of(pipe, pictures, clean, generator, settings):
    """Ho et al. 2020, algorithm 1, with sd-scripts' noise offset and min-SNR weights."""
    noise = torch.randn(clean.shape, generator=generator)
    if settings["noise_offset"]:
        noise = noise + torch.randn(clean.shape[0], clean.shape[1], 1, 1, generator=generator) * settings["noise_offset"]
    t = torch.randint(0, 1000, (len(pictures),), generator=generator)
    bars = pipe.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    noisy = bars.sqrt() * clean + (1 - bars).sqrt() * noise
    context, added = text_states(pipe, pictures, settings)
    prediction = pipe.unet(noisy, t, context, added_cond_kwargs=added).sample
    is_velocity = pipe.scheduler.config.prediction_type == "v_prediction"
    target = bars.sqrt() * noise - (1 - bars).sqrt() * clean if is_velocity else noise
    losses = (prediction - target).square().mean(dim=(1, 2, 3))
    if settings["min_snr_gamma"]:
        snr = (bars / (1 - bars)).flatten()
        losses = losses * snr.clamp(max=settings["min_snr_gamma"]) / (snr + 1 if is_velocity else snr)
    return losses.mean()


def text_states(pipe, pictures, settings):
    """sd-scripts' rules: SD 1 and 2 the last layer or, with clip skip, an earlier one, normalised; SDXL the last but one of both."""
    ids = lambda tokenizer: tokenizer([p.caption for p in pictures], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    one = pipe.text_encoder(ids(pipe.tokenizer), output_hidden_states=True)
    if not hasattr(pipe, "text_encoder_2"):
        if not settings["clip_skip"]:
            return one.last_hidden_state, None
        return getattr(pipe.text_encoder, "text_model", pipe.text_encoder).final_layer_norm(one.hidden_states[-settings["clip_skip"]]), None
    two = pipe.text_encoder_2(ids(pipe.tokenizer_2), output_hidden_states=True)
    times = torch.tensor([p.time_ids() for p in pictures], dtype=torch.float32)
    return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1), dict(text_embeds=two.text_embeds, time_ids=times)
