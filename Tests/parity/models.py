"""Random small Stable Diffusion models, made with diffusers: three families, every size drawn, weights of a sane scale.

A recipe is a plain dictionary that says everything about a model; `random_recipe` draws one, `write` makes the model and saves it
as a diffusers folder, in one precision or another, in shards or not, and where the recipe asks for it also as one file in the
original names. `load` reads a folder back with diffusers in float32: that is the referee.
"""
import gzip
import json
import pathlib
import random
import shutil
import sys

import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "Fixtures"
sys.path.insert(0, str(FIXTURES))
from make_models import original_open_clip, original_unet, original_vae, nested  # noqa: E402

FAMILIES = ("sd1", "sd2", "sdxl")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# What the scheduler_config.json of all released models has.
RELEASED = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=False,
    skip_prk_steps=True, steps_offset=1, trained_betas=None)
SCHEDULERS = {c.__name__: c for c in (PNDMScheduler, DDIMScheduler, EulerDiscreteScheduler)}


# --- what is drawn --------------------------------------------------------------------------------------------------------

def random_recipe(seed, family=None, single_file=None, plain_noise=False, like_released=False):
    """One model's description.

    family: one of FAMILIES, drawn when not given. single_file: whether it is written in the original names, too, which fixes
    what those files do not say (heads, groups, noise schedule). plain_noise: the family's released noise schedule. like_released:
    SDXL's UNet with its three levels of two layers, the only one whose LoRAs in LDM's names diffusers reads.
    """
    r = random.Random(seed)
    family = family or r.choice(FAMILIES)
    single = r.random() < 0.3 if single_file is None else single_file
    recipe = dict(
        seed=seed, family=family, single_file=single, vocabulary="full" if r.random() < 0.15 and full_vocabulary() else "small",
        dtype=r.choice(["float32", "float32", "float32", "float16", "bfloat16"]), shards=r.random() < 0.25)
    recipe["variant"] = "fp16" if recipe["dtype"] == "float16" and r.random() < 0.4 else None
    texts = [text_options(r, family, i, single) for i in range(2 if family == "sdxl" else 1)]
    recipe["texts"] = texts
    recipe["unet"] = unet_options(r, family, texts, single, like_released)
    recipe["vae"] = vae_options(r, family, single)
    recipe["scheduler"] = scheduler_options(r, family, single or plain_noise)
    return recipe


def text_options(r, family, index, single):
    is_open_clip = family == "sd2" or index == 1
    heads = r.choice([1, 2, 3])
    width = heads * 64 if single else heads * r.choice([16, 24, 32])
    options = dict(
        hidden_size=width, num_attention_heads=heads, intermediate_size=width * r.choice([2, 4]), num_hidden_layers=r.randint(2, 4),
        hidden_act="gelu" if is_open_clip else "quick_gelu", pad="!" if is_open_clip else "<|endoftext|>", eos=2 if single else r.choice([2, None]))
    if index == 1:
        options["projection_dim"] = r.choice([32, 48, 64, 96])
    return options


def unet_options(r, family, texts, single, like_released):
    levels = 3 if like_released and family == "sdxl" else r.randint(2, 3) if family == "sdxl" else r.randint(2, 4)
    # Two channels and more to a group: with one, what is the same all over the picture has no effect, and no gradient.
    groups = 32 if single else r.choice([4, 8, 16])
    unit = 64 if single else groups * r.choice([2, 3, 4] if groups < 16 else [2])
    widths = [unit * r.choice([1, 2] if i else [1]) for i in range(levels)]
    if family == "sdxl":
        attends = [i > 0 for i in range(levels)]
    else:
        attends = [i < levels - 1 for i in range(levels)]
    head_counts = lambda width: [n for n in (1, 2, 4, 8) if width % n == 0 and width // n >= 4]
    if single:
        heads = 8 if family == "sd1" else [w // 64 for w in widths]
    elif family == "sd1" and r.random() < 0.7:
        heads = r.choice(head_counts(min(widths)))
        heads = heads if all(w % heads == 0 for w in widths) else 1
    else:
        heads = [r.choice(head_counts(w)) for w in widths]
    depths = [r.randint(1, 3) if a else 1 for a in attends] if family == "sdxl" else 1
    options = dict(
        sample_size=r.choice([8, 12, 16]), in_channels=4, out_channels=4, norm_num_groups=groups, block_out_channels=widths,
        layers_per_block=2 if like_released and family == "sdxl" else r.choice([1, 2]), cross_attention_dim=sum(t["hidden_size"] for t in texts),
        attention_head_dim=heads, transformer_layers_per_block=depths, use_linear_projection=family != "sd1",
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)])
    if family == "sd2":
        options["upcast_attention"] = r.random() < 0.5
    if family == "sdxl":
        width = r.choice([4, 8, 16, 32])
        options |= dict(
            addition_embed_type="text_time", addition_time_embed_dim=width,
            projection_class_embeddings_input_dim=texts[1]["projection_dim"] + 6 * width)
    return options


def vae_options(r, family, single):
    levels = 4 if single else r.choice([3, 3, 4])
    groups = 32 if single else r.choice([4, 8, 16])
    unit = 32 if single else groups * (1 if groups == 16 else 2)
    widths = [unit * r.choice([1, 1, 2] if i else [1]) for i in range(levels)]
    return dict(
        block_out_channels=widths, layers_per_block=r.choice([1, 2]), norm_num_groups=groups, latent_channels=4,
        scaling_factor=0.13025 if family == "sdxl" else 0.18215, down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels)


def scheduler_options(r, family, plain):
    """The released configurations, word by word; without `plain` now and then another noise process or spacing, and the file as
    today's diffusers writes it, which says every default of the class."""
    if family == "sdxl":
        name, prediction = "EulerDiscreteScheduler", "epsilon"
        options = dict(RELEASED, interpolation_type="linear", sample_max_value=1.0, timestep_spacing="leading", use_karras_sigmas=False)
    else:
        prediction = "epsilon" if family == "sd1" else r.choice(["v_prediction", "v_prediction", "epsilon"])
        name, options = "DDIMScheduler" if prediction == "v_prediction" else "PNDMScheduler", dict(RELEASED)
    options["prediction_type"] = prediction
    if plain or r.random() < 0.5:
        return dict(name=name, options=options, complete=False)
    change = r.choice(["none", "linear", "trailing", "linspace", "range", "velocity"])
    if change == "linear":
        options |= dict(beta_schedule="linear", beta_start=0.0001, beta_end=0.02)
    elif change in ("trailing", "linspace"):
        options |= dict(timestep_spacing=change)
    elif change == "range":
        options |= dict(beta_start=r.choice([0.0005, 0.001]), beta_end=r.choice([0.01, 0.015]))
    elif change == "velocity" and family == "sdxl":
        options |= dict(prediction_type="v_prediction")
    return dict(name=name, options=options, complete=r.random() < 0.5)


# --- vocabularies ---------------------------------------------------------------------------------------------------------

def full_vocabulary():
    """CLIP's own merges as open_clip ships them; None where it is not installed."""
    try:
        import open_clip
    except ImportError:
        return None
    path = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    return path if path.exists() else None


def write_tokenizer(folder, pad, vocabulary):
    """The fixtures' small vocabulary, or CLIP's of 49,408 words, with the files that released models have."""
    source = FIXTURES / "tokenizers" / ("clip-pad" if pad == "!" else "clip")
    shutil.copytree(source, folder)
    if vocabulary == "small":
        return
    symbols = list(byte_symbols().values())
    merges = gzip.open(full_vocabulary()).read().decode().split("\n")[1:49152 - 256 - 2 + 1]
    tokens = [*symbols, *(s + "</w>" for s in symbols), *("".join(m.split()) for m in merges), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("".join(line + "\n" for line in ["#version: 0.2", *merges]), encoding="utf-8")


def byte_symbols():
    """CLIP's printable stand-ins of all bytes, printable ones first."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(0x100 + len(table) - len(printable))
    return table


# --- weights --------------------------------------------------------------------------------------------------------------

@torch.no_grad()
def fill(model, generator):
    """Unit gain for matrices and kernels, scales near 1, small shifts."""
    for name, p in model.named_parameters():
        if "embedding" in name and "token" in name:
            p.copy_(torch.randn(p.shape, generator=generator))
        elif "position_embedding" in name:
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
        elif p.ndim > 1:
            p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)
        elif name.endswith("weight"):
            p.copy_(1 + 0.2 * (2 * torch.rand(p.shape, generator=generator) - 1))
        else:
            p.copy_(0.1 * (2 * torch.rand(p.shape, generator=generator) - 1))
    return model.eval()


@torch.no_grad()
def rescale(layer, output, deviation):
    """The last layer made so that what `output()` gives has this deviation, and mean zero in each channel."""
    y = output()
    factor = deviation / y.std()
    layer.weight.mul_(factor)
    layer.bias.sub_(y.mean(dim=(0, 2, 3))).mul_(factor)


@torch.no_grad()
def see_noise(unet, x, output, share):
    """Makes a denoiser find a share of the noise in its input, as trained ones do.

    Without it a random denoiser drives the sampling chaotic: rounding errors grow to whole pictures. The latents pass by twice,
    as x and as −x, through the first skip connection and the last residual block's shortcut to the last layer, where
    silu(a) − silu(−a) = a gives them back.
    """
    count = x.shape[1]
    shortcut = unet.up_blocks[-1].resnets[-1].conv_shortcut.weight      # [out, before + skip, 1, 1]
    skip = shortcut.shape[1] - unet.conv_in.out_channels
    for c in range(count):
        for row, sign in ((2 * c, 1.0), (2 * c + 1, -1.0)):
            unet.conv_in.weight[row] = 0
            unet.conv_in.bias[row] = 0
            unet.conv_in.weight[row, c, 1, 1] = sign
            shortcut[row] = 0
            shortcut[row, skip + row] = 3.0
    before = output()
    taps = torch.zeros_like(unet.conv_out.weight)
    for c in range(count):
        taps[c, 2 * c, 1, 1], taps[c, 2 * c + 1, 1, 1] = 1.0, -1.0
    unet.conv_out.weight.add_(taps)
    found = ((output() - before) * x).mean() / x.square().mean()
    unet.conv_out.weight.add_(taps * (share / found - 1))


# --- a model --------------------------------------------------------------------------------------------------------------

def make(recipe, folder):
    """The pipeline of a recipe, its tokenizers written to `folder` and read from there."""
    g = torch.Generator().manual_seed(recipe["seed"])
    tokenizers, encoders = [], []
    for i, options in enumerate(recipe["texts"]):
        options = dict(options)
        pad, eos = options.pop("pad"), options.pop("eos")
        path = folder / ("tokenizer" if i == 0 else "tokenizer_2")
        write_tokenizer(path, pad, recipe["vocabulary"])
        tokenizer = CLIPTokenizer.from_pretrained(path)
        config = CLIPTextConfig(
            vocab_size=len(tokenizer), max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=eos or tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **options)
        tokenizers.append(tokenizer)
        encoders.append(fill((CLIPTextModelWithProjection if i == 1 else CLIPTextModel)(config), g))
    unet = fill(UNet2DConditionModel(**recipe["unet"]), g)
    vae = fill(AutoencoderKL(**recipe["vae"]), g)
    pipe = assemble(recipe, encoders, tokenizers, unet, vae)
    calibrate(pipe, g)
    return pipe


def assemble(recipe, encoders, tokenizers, unet, vae):
    scheduler = SCHEDULERS[recipe["scheduler"]["name"]].from_config(recipe["scheduler"]["options"])
    if recipe["family"] == "sdxl":
        pipe = StableDiffusionXLPipeline(
            vae=vae, text_encoder=encoders[0], text_encoder_2=encoders[1], tokenizer=tokenizers[0], tokenizer_2=tokenizers[1], unet=unet,
            scheduler=scheduler, add_watermarker=False)
    else:
        pipe = StableDiffusionPipeline(
            vae=vae, text_encoder=encoders[0], tokenizer=tokenizers[0], unet=unet, scheduler=scheduler, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False)
    return quiet(pipe)


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def calibrate(pipe, generator):
    """The denoiser's output gets the deviation of noise, and drawn pictures the contrast of pictures."""
    side = 8 << (len(pipe.unet.config.block_out_channels) - 1) if len(pipe.unet.config.block_out_channels) < 3 else 16
    x = torch.randn(4, 4, side, side, generator=generator)
    t = torch.tensor([20.0, 300.0, 600.0, 950.0])
    prompts = ["a red cube", "studio lighting, a cloud", "", "white background"]
    if hasattr(pipe, "text_encoder_2"):
        context, _, pooled, _ = pipe.encode_prompt(prompts, device="cpu", do_classifier_free_guidance=False)
        ids = torch.tensor([[128.0, 128, 0, 0, 128, 128]] * 4)
        added = dict(text_embeds=pooled, time_ids=ids)
    else:
        context, added = pipe.encode_prompt(prompts, "cpu", 1, False)[0], None
    denoise = lambda: pipe.unet(x, t, context, added_cond_kwargs=added).sample
    if pipe.scheduler.config.prediction_type == "epsilon":
        rescale(pipe.unet.conv_out, denoise, 0.25)
        see_noise(pipe.unet, x, denoise, 0.95)
    else:
        rescale(pipe.unet.conv_out, denoise, 1.0)
    scale = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    latents = pipe("a red cube, studio lighting", num_inference_steps=6, height=side * scale, width=side * scale, output_type="latent",
                   generator=torch.Generator().manual_seed(1)).images
    rescale(pipe.vae.decoder.conv_out, lambda: pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample, 0.45)


def write(recipe, folder):
    """Makes the model and saves it under `folder`. Returns the paths by layout: "folder", and "file" where there is one."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder / "parts"
    pipe = make(recipe, parts)
    dtype = DTYPES[recipe["dtype"]]
    paths = {"folder": folder / "model"}
    pipe.to(dtype)
    pipe.save_pretrained(
        paths["folder"], safe_serialization=True, max_shard_size="300KB" if recipe["shards"] else "10GB", variant=recipe["variant"])
    for name in ("tokenizer", "tokenizer_2"):
        if (parts / name).exists():     # as released folders have them: transformers 5 would leave out vocab.json and merges.txt
            shutil.rmtree(paths["folder"] / name)
            shutil.copytree(parts / name, paths["folder"] / name)
    if not recipe["scheduler"]["complete"]:
        config = {"_class_name": recipe["scheduler"]["name"], **recipe["scheduler"]["options"]}
        (paths["folder"] / "scheduler" / "scheduler_config.json").write_text(json.dumps(config, indent=2) + "\n")
    if recipe["single_file"]:
        paths["file"] = folder / "single" / "model.safetensors"
        paths["file"].parent.mkdir()
        save_file(original(recipe, pipe), paths["file"])
        shutil.copytree(parts / "tokenizer", paths["file"].parent / "tokenizer")
    shutil.rmtree(parts)
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")
    return paths


def original(recipe, pipe):
    """All weights in the original names of the family."""
    family = recipe["family"]
    state = original_unet(pipe.unet) | original_vae(pipe.vae)
    if family == "sd1":
        state |= {"cond_stage_model.transformer." + k: v for k, v in nested(pipe.text_encoder).items()}
    elif family == "sd2":
        state |= original_open_clip(pipe.text_encoder, "cond_stage_model.model.", True)
        if recipe["scheduler"]["options"]["prediction_type"] == "epsilon":
            state["global_step"] = torch.tensor(875_000)    # by which the 512-pixel base of version 2 is known
    else:
        state |= {"conditioner.embedders.0.transformer." + k: v for k, v in nested(pipe.text_encoder).items()}
        state |= original_open_clip(pipe.text_encoder_2, "conditioner.embedders.1.model.", False)
    return {k: v.clone().contiguous() for k, v in state.items() if not k.endswith("position_ids")}


def load(folder):
    """The referee: diffusers' pipeline of a folder, in float32."""
    folder = pathlib.Path(folder)
    index = json.loads((folder / "model_index.json").read_text())
    options = dict(torch_dtype=torch.float32, variant="fp16" if any(".fp16" in p.name for p in (folder / "unet").iterdir()) else None)
    if index["_class_name"] == "StableDiffusionXLPipeline":
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False, **options)
    else:
        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, **options)
    return quiet(pipe)


def describe(recipe):
    """A model in a few words, for tables."""
    prediction = {"epsilon": "ε", "v_prediction": "v"}[recipe["scheduler"]["options"]["prediction_type"]]
    widths = "-".join(map(str, recipe["unet"]["block_out_channels"]))
    storage = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[recipe["dtype"]]
    storage += (" sharded" if recipe["shards"] else "") + (" variant" if recipe["variant"] else "")
    return f"{recipe['family']} {prediction} {widths} {storage}"
