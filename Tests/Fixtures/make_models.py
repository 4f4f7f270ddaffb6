#!/usr/bin/env python3
"""Fixtures for ModelsTests: small models of diffusers and transformers with weights by formula (formula.py).

Written to models/: for each case `<name>.json` (configuration, signature of keys and shapes, tokens) and
`<name>.safetensors` (outputs, input gradients, a few weight gradients; pictures and latents as [B, H, W, C]).
"pipeline", "original" or "odd" as argument writes those cases alone. Needs: torch diffusers transformers safetensors.
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint, convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint, convert_open_clip_checkpoint,
)
from safetensors.torch import save_file
from transformers import (
    BlipConfig, BlipForConditionalGeneration, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection,
    CLIPTokenizer,
)

import formula

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
OUT = pathlib.Path(__file__).parent / "models"


def fill(model, rename=lambda key: key):
    """Formula weights by checkpoint key; returns the signature of keys and shapes."""
    shapes = []
    for name, parameter in model.named_parameters():
        key = rename(name)
        shapes.append((key, parameter.shape))
        parameter.data = torch.from_numpy(formula.weight(key, tuple(parameter.shape)))
    model.eval()
    return formula.signature(shapes)


def channels_last(x):
    return x.permute(0, 2, 3, 1).contiguous()


def picture(key, batch, height, width, channels):
    """An input by formula in [B, H, W, C], returned as a leaf in [B, C, H, W]."""
    values = torch.from_numpy(formula.signed(key, (batch, height, width, channels)))
    return values.permute(0, 3, 1, 2).contiguous().requires_grad_()


def leaf(key, shape):
    return torch.from_numpy(formula.signed(key, shape)).requires_grad_()


def seeded(output, key):
    """A scalar whose gradient with respect to a channels-last output is the formula tensor `key`."""
    return (output * torch.from_numpy(formula.signed(key, tuple(output.shape)))).sum()


def save(name, tensors, **record):
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, OUT / f"{name}.safetensors")
    (OUT / f"{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    print(name, {k: (tuple(v.shape), round(float(v.detach().float().std()), 4)) for k, v in tensors.items()})


def config_of(model):
    return {k: v for k, v in dict(model.config).items()}


def unet(name, height, width, watched, **options):
    model = UNet2DConditionModel(**options)
    signature = fill(model)
    context_width = options["cross_attention_dim"]
    x, context = picture("latents", 2, height, width, options["in_channels"]), leaf("context", (2, 7, context_width))
    timesteps, added, extra = torch.tensor([3.0, 741.5]), None, {}
    if options.get("addition_embed_type"):
        pooled = leaf("pooled", (2, 20))
        extra["pooled"] = pooled
        added = dict(text_embeds=pooled, time_ids=torch.tensor([[64.0, 48, 0, 8, 96, 96], [128, 64, 3, 0, 64, 128]]))
    y = channels_last(model(x, timesteps, context, added_cond_kwargs=added).sample)
    seeded(y, "seed").backward()
    parameters = dict(model.named_parameters())
    tensors = {"output": y, "gradient.latents": channels_last(x.grad), "gradient.context": context.grad}
    tensors |= {f"gradient.{k}": v.grad for k, v in extra.items()}
    tensors |= {f"weight_gradient.{k}": parameters[k].grad for k in watched}
    save(name, tensors, config=config_of(model), signature=signature)


def vae(name, size, **options):
    model = AutoencoderKL(**options)
    signature = fill(model)
    x = picture("pixels", 1, size, size, 3)
    moments = model.encode(x).latent_dist
    mean, logvar = channels_last(moments.mean), channels_last(moments.logvar)
    (seeded(mean, "seed.mean") + seeded(logvar, "seed.logvar")).backward()
    cells = size >> (len(options["block_out_channels"]) - 1)
    z = picture("latents", 1, cells, cells, options["latent_channels"])
    decoded = channels_last(model.decode(z).sample)
    seeded(decoded, "seed.decoded").backward()
    save(name, {"mean": mean, "logvar": logvar, "gradient.pixels": channels_last(x.grad), "decoded": decoded,
                "gradient.latents": channels_last(z.grad)}, config=config_of(model), signature=signature)


def clip(name, model_class, **options):
    config = CLIPTextConfig(vocab_size=60, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
                            max_position_embeddings=11, bos_token_id=58, pad_token_id=59, **options)
    model = model_class(config)
    signature = fill(model, lambda key: key if key.startswith("text_") else "text_model." + key)
    ids = torch.tensor([[58, 4, 31, 59, 59, 59, 59, 59, 59, 59, 59], [58, 7, 7, 50, 12, 3, 22, 41, 9, 59, 59]])
    out = model(ids, output_hidden_states=True)
    text = getattr(model, "text_model", model)
    tensors = {"last": out.last_hidden_state, "hidden2": out.hidden_states[-2]}
    tensors |= {f"skip{n}": text.final_layer_norm(out.hidden_states[-n]) for n in (1, 2, 3)}
    tensors["pooled"] = out.text_embeds if hasattr(out, "text_embeds") else out.pooler_output
    assert torch.equal(tensors["skip1"], tensors["last"])
    (seeded(out.last_hidden_state, "seed.last") + seeded(tensors["pooled"], "seed.pooled")).backward()
    parameters = dict(model.named_parameters())
    for key in ("token_embedding.weight", "layers.0.self_attn.q_proj.weight", "layers.2.mlp.fc2.bias"):
        tensors[f"weight_gradient.{key}"] = next(p.grad for k, p in parameters.items() if k.endswith(key))
    save(name, tensors, config=config.to_dict() | {"architectures": [model_class.__name__]}, signature=signature,
         ids=ids.tolist())


def blip(name):
    config = BlipConfig(
        text_config=dict(vocab_size=60, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                         max_position_embeddings=24, bos_token_id=57, eos_token_id=2, pad_token_id=0, sep_token_id=7,
                         encoder_hidden_size=24),
        vision_config=dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=3, image_size=16,
                           patch_size=4))
    model = BlipForConditionalGeneration(config)
    signature = fill(model)
    ids = torch.tensor([[57, 4, 31, 9, 22], [57, 7, 7, 50, 12]])
    x = picture("pixels", 2, 16, 16, 3)
    states = model.vision_model(x).last_hidden_state
    logits = model.text_decoder(input_ids=ids, encoder_hidden_states=states).logits
    seeded(logits, "seed").backward()
    tensors = {"states": states, "logits": logits, "gradient.pixels": channels_last(x.grad)}
    generations = []
    cases = [dict(), dict(num_beams=3), dict(num_beams=4, length_penalty=2.0), dict(repetition_penalty=1.3),
             dict(num_beams=3, repetition_penalty=1.5, min_length=9), dict(min_length=8),
             dict(prompt=[5, 6, 17]), dict(prompt=[5, 6, 17], num_beams=2)]
    for case in cases:
        options = dict(case)
        prompt = options.pop("prompt", [])
        rows = []
        for index in range(6):
            pixels = picture(f"picture.{index}", 1, 16, 16, 3).detach() * 3
            given = torch.tensor([[57] + prompt + [58]])
            row = model.generate(pixels, input_ids=given, max_length=14, do_sample=False, early_stopping=False, **options)[0]
            rows.append(row.tolist())
        generations.append(dict(options=options, prompt=prompt, rows=rows))
    print(generations)
    save(name, tensors, config=config.to_dict() | {"architectures": ["BlipForConditionalGeneration"]}, signature=signature,
         ids=ids.tolist(), generations=generations)


def pipeline(name):
    """A whole folder as diffusers writes it: float16, the UNet in shards; and what its parts compute."""
    tokenizer = CLIPTokenizer.from_pretrained(OUT.parent / "tokenizers" / "clip")
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    unet = UNet2DConditionModel(
        in_channels=4, out_channels=4, norm_num_groups=4, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=16,
        attention_head_dim=2, sample_size=8, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    vae = AutoencoderKL(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4, scaling_factor=0.25,
                        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    for part in (text, unet, vae):
        fill(part)
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    folder = OUT / name
    StableDiffusionPipeline(
        vae=vae.half(), text_encoder=text.half(), tokenizer=tokenizer, unet=unet.half(), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True, max_shard_size="40KB")
    for path in folder.glob("tokenizer/*"):
        path.unlink()  # Tests/Fixtures/tokenizers/clip holds the same tokenizer
    text, unet, vae = text.float(), unet.float(), vae.float()
    prompts = ["a glossy red sphere", "cloud, isometric, 3d icon, cloud, isometric, 3d icon"]
    ids = tokenizer(prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    states = text(ids).last_hidden_state
    x = picture("latents", 2, 8, 8, 4)
    save(name, {"states": states, "denoised": channels_last(unet(x, torch.tensor([3.0, 741.5]), states).sample),
                "decoded": channels_last(vae.decode(x).sample)}, prompts=prompts, config={}, signature="", ids=ids.tolist())


RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def original_unet(model):
    """The UNet's weights under the original names, each block numbered along its way."""
    config, state, layers = model.config, model.state_dict(), model.config.layers_per_block
    last = len(config.block_out_channels) - 1
    scopes = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
              "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0",
              "conv_out": "out.2", "mid_block.attentions.0": "middle_block.1"}
    resnets = {"mid_block.resnets.0": "middle_block.0", "mid_block.resnets.1": "middle_block.2"}
    n = 1
    for i in range(last + 1):
        for l in range(layers):
            resnets[f"down_blocks.{i}.resnets.{l}"] = f"input_blocks.{n}.0"
            scopes[f"down_blocks.{i}.attentions.{l}"] = f"input_blocks.{n}.1"
            n += 1
        if i < last:
            scopes[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{n}.0.op"
            n += 1
    n = 0
    for i in range(last + 1):
        for l in range(layers + 1):
            resnets[f"up_blocks.{i}.resnets.{l}"] = f"output_blocks.{n}.0"
            scopes[f"up_blocks.{i}.attentions.{l}"] = f"output_blocks.{n}.1"
            n += 1
        attends = f"up_blocks.{i}.attentions.0.norm.weight" in state
        scopes[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{n - 1}.{2 if attends else 1}.conv"
    for name, prefix in resnets.items():
        scopes |= {f"{name}.{k}": f"{prefix}.{v}" for k, v in RESNET.items()}
    return renamed(state, scopes, "model.diffusion_model.")


def original_vae(model):
    """The autoencoder's; attention as 1x1 kernels."""
    levels, layers = len(model.config.block_out_channels), model.config.layers_per_block
    scopes = {k: k for k in ("quant_conv", "post_quant_conv", "encoder.conv_in", "encoder.conv_out", "decoder.conv_in", "decoder.conv_out")}
    resnets = {}
    for side in ("encoder", "decoder"):
        scopes[f"{side}.conv_norm_out"] = f"{side}.norm_out"
        resnets |= {f"{side}.mid_block.resnets.{i}": f"{side}.mid.block_{i + 1}" for i in range(2)}
        for k, v in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
            scopes[f"{side}.mid_block.attentions.0.{k}"] = f"{side}.mid.attn_1.{v}"
    for i in range(levels):
        for l in range(layers + 1):
            resnets[f"encoder.down_blocks.{i}.resnets.{l}"] = f"encoder.down.{i}.block.{l}"
            resnets[f"decoder.up_blocks.{i}.resnets.{l}"] = f"decoder.up.{levels - 1 - i}.block.{l}"
        scopes[f"encoder.down_blocks.{i}.downsamplers.0.conv"] = f"encoder.down.{i}.downsample.conv"
        scopes[f"decoder.up_blocks.{i}.upsamplers.0.conv"] = f"decoder.up.{levels - 1 - i}.upsample.conv"
    for name, prefix in resnets.items():
        scopes |= {f"{name}.{k}": f"{prefix}.{k}" for k in ("norm1", "conv1", "norm2", "conv2")} | {f"{name}.conv_shortcut": f"{prefix}.nin_shortcut"}
    state = {k: v[:, :, None, None] if ".attentions." in k and v.ndim == 2 else v for k, v in model.state_dict().items()}
    return renamed(state, scopes, "first_stage_model.")


def renamed(state, scopes, prefix):
    """Each key with its longest scope exchanged."""
    result = {}
    for key, value in state.items():
        scope = key
        while scope not in scopes:
            scope = scope[:scope.rindex(".")]
        result[prefix + scopes[scope] + key[len(scope):]] = value
    assert len(result) == len(state)
    return result


def nested(model):
    """A text encoder's weights as the published files name them: newer transformers leave out "text_model."."""
    return {k if k.startswith("text_") else "text_model." + k: v for k, v in model.state_dict().items()}


def original_open_clip(model, prefix, extra_layer):
    """OpenCLIP's names: query, key, value in one; the projection turned; for version 2 a last layer that nobody uses."""
    state, result = nested(model), {}
    width = model.config.hidden_size
    top = {"text_model.embeddings.token_embedding.weight": "token_embedding.weight", "text_model.final_layer_norm.weight": "ln_final.weight",
           "text_model.embeddings.position_embedding.weight": "positional_embedding", "text_model.final_layer_norm.bias": "ln_final.bias"}
    for key, name in top.items():
        result[prefix + name] = state[key]
    result[prefix + "text_projection"] = state["text_projection.weight"].T if "text_projection.weight" in state else torch.zeros(width, width)
    layers = model.config.num_hidden_layers
    for i in range(layers + (1 if extra_layer else 0)):
        old, new = f"text_model.encoder.layers.{min(i, layers - 1)}.", f"{prefix}transformer.resblocks.{i}."
        for kind in ("weight", "bias"):
            for k, v in {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}.items():
                result[f"{new}{v}.{kind}"] = state[f"{old}{k}.{kind}"]
            result[f"{new}attn.in_proj_{kind}"] = torch.cat([state[f"{old}self_attn.{x}_proj.{kind}"] for x in "qkv"])
    return result


def load_original(model, converted):
    """What diffusers made of original names must be the model's own keys and shapes; buffers aside."""
    own = {k: v for k, v in nested(model).items()} if "final_layer_norm.weight" in model.state_dict() or "text_model.final_layer_norm.weight" in model.state_dict() else model.state_dict()
    own = {k: v for k, v in own.items() if not k.endswith("position_ids")}
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in converted.items()}, set(own) ^ set(converted)
    strip = lambda k: k if k in model.state_dict() else k.removeprefix("text_model.")
    model.load_state_dict({strip(k): v for k, v in converted.items()}, strict=False)
    model.eval()


def original(name, family, height, width, unet_options, texts):
    """A base model in one file. Weights by formula of the ORIGINAL keys; diffusers' own conversion brings them into its models."""
    vocabulary = OUT.parent / "tokenizers" / "clip"
    tokenizers = [CLIPTokenizer.from_pretrained(vocabulary, **({"pad_token": "!"} if t["hidden_act"] == "gelu" else {})) for t in texts]
    ids = dict(vocab_size=len(tokenizers[0]), bos_token_id=tokenizers[0].bos_token_id, eos_token_id=2, max_position_embeddings=77)
    encoders = [(CLIPTextModelWithProjection if i == 1 else CLIPTextModel)(CLIPTextConfig(**ids, **t)) for i, t in enumerate(texts)]
    model = UNet2DConditionModel(in_channels=4, out_channels=4, sample_size=8, **unet_options)
    autoencoder = AutoencoderKL(block_out_channels=(32, 64), layers_per_block=1, latent_channels=4, norm_num_groups=32,
                                down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    prefixes = {"sd1": ["cond_stage_model.transformer."], "sd2": ["cond_stage_model.model."],
                "sdxl": ["conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."]}[family]
    state = original_unet(model) | original_vae(autoencoder)
    for encoder, prefix in zip(encoders, prefixes):
        state |= original_open_clip(encoder, prefix, family == "sd2") if prefix.endswith(".model.") else {prefix + k: v for k, v in nested(encoder).items()}
    # There and back: our original names mean to diffusers what we took them for.
    back = convert_ldm_unet_checkpoint(dict(state), dict(model.config))
    assert back.keys() == model.state_dict().keys() and all(torch.equal(v, model.state_dict()[k]) for k, v in back.items())

    state = {k: torch.from_numpy(formula.weight(k, tuple(v.shape))) for k, v in state.items() if not k.endswith("position_ids")}
    load_original(model, convert_ldm_unet_checkpoint(dict(state), dict(model.config)))
    load_original(autoencoder, convert_ldm_vae_checkpoint(dict(state), dict(autoencoder.config)))
    for encoder, prefix in zip(encoders, prefixes):
        if not prefix.endswith(".model."):
            load_original(encoder, convert_ldm_clip_checkpoint({k: v for k, v in state.items() if k.startswith(prefix)}))
            continue
        # diffusers drops the last layer of version 2 by its number, 23: here it is another one.
        unused = f"{prefix}transformer.resblocks.{encoder.config.num_hidden_layers}."
        part = {k: v for k, v in state.items() if not k.startswith(unused)}
        converted = convert_open_clip_checkpoint(encoder, part, prefix=prefix)
        if family == "sd2":
            converted.pop("text_projection.weight", None)
        load_original(encoder, converted)

    prompts = ["a glossy red sphere", "cloud, isometric, 3d icon, cloud, isometric, 3d icon"]
    x, added, tensors = picture("latents", 2, height, width, 4), None, {}
    with torch.no_grad():
        if family == "sdxl":
            pipe = StableDiffusionXLPipeline(vae=autoencoder, text_encoder=encoders[0], text_encoder_2=encoders[1], tokenizer=tokenizers[0],
                                             tokenizer_2=tokenizers[1], unet=model, scheduler=EulerDiscreteScheduler(), add_watermarker=False)
            context, _, pooled, _ = pipe.encode_prompt(prompts, device="cpu", do_classifier_free_guidance=False)
            times = torch.cat([pipe._get_add_time_ids((64, 48), (0, 8), (96, 96), torch.float32, pooled.shape[1]),
                               pipe._get_add_time_ids((128, 64), (3, 0), (64, 128), torch.float32, pooled.shape[1])])
            added, tensors["pooled"] = dict(text_embeds=pooled, time_ids=times), pooled
        else:
            tokens = tokenizers[0](prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
            context = encoders[0](tokens).last_hidden_state
        tensors |= {"states": context, "decoded": channels_last(autoencoder.decode(x).sample),
                    "denoised": channels_last(model(x, torch.tensor([3.0, 741.5]), context, added_cond_kwargs=added).sample)}
    save(name, tensors, prompts=prompts, keys={k: list(v.shape) for k, v in sorted(state.items())})


def originals():
    levels = lambda *attends: dict(
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)))
    first = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=1, hidden_act="quick_gelu")
    second = dict(hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=2, hidden_act="gelu")
    original("original_sd1", "sd1", 7, 10, dict(
        block_out_channels=(32, 64, 64), layers_per_block=2, cross_attention_dim=64, attention_head_dim=8, **levels(True, True, False)), [first])
    original("original_sd2", "sd2", 9, 6, dict(
        block_out_channels=(64, 128), layers_per_block=1, cross_attention_dim=128, attention_head_dim=(1, 2), use_linear_projection=True,
        **levels(True, False)), [second])
    original("original_sdxl", "sdxl", 6, 5, dict(
        block_out_channels=(32, 64, 128), layers_per_block=1, cross_attention_dim=192, attention_head_dim=(1, 1, 2),
        transformer_layers_per_block=(1, 1, 2), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=96 + 6 * 8, **levels(False, True, True)), [first, second | dict(projection_dim=96)])


def odd():
    """Latents that do not halve evenly; without padding the halving loses a row."""
    options = dict(in_channels=4, out_channels=4, norm_num_groups=8, block_out_channels=(16, 16, 32), layers_per_block=1, cross_attention_dim=24,
                   attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
                   up_block_types=("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"))
    unet("unet_odd", 11, 13, [], **options)
    unet("unet_odd_unpadded", 11, 13, [], downsample_padding=0, **options)


def main():
    OUT.mkdir(exist_ok=True)
    if sys.argv[1:]:
        return {"pipeline": lambda: pipeline("pipeline"), "original": originals, "odd": odd}[sys.argv[1]]()
    small = dict(in_channels=4, out_channels=4, norm_num_groups=8)
    unet("unet_sd1", 8, 8,
         ["conv_in.weight", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
          "up_blocks.1.resnets.1.time_emb_proj.bias", "up_blocks.1.attentions.0.norm.weight"],
         block_out_channels=(16, 32), layers_per_block=1, cross_attention_dim=24, attention_head_dim=4,
         down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **small)
    unet("unet_sd2", 12, 10, ["mid_block.attentions.0.proj_in.weight"],
         block_out_channels=(16, 32, 32), layers_per_block=2, cross_attention_dim=24, attention_head_dim=(2, 4, 8),
         use_linear_projection=True, upcast_attention=True,
         down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
         up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), **small)
    unet("unet_sdxl", 8, 6, ["add_embedding.linear_1.weight"],
         block_out_channels=(16, 32), layers_per_block=1, cross_attention_dim=24, attention_head_dim=(2, 4),
         transformer_layers_per_block=(1, 2), use_linear_projection=True, addition_embed_type="text_time",
         addition_time_embed_dim=8, projection_class_embeddings_input_dim=20 + 6 * 8,
         down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **small)
    unet("unet_variants", 8, 8, [],
         block_out_channels=(16, 32), layers_per_block=(1, 2), cross_attention_dim=24, attention_head_dim=4,
         mid_block_type="UNetMidBlock2D", center_input_sample=True, flip_sin_to_cos=False, freq_shift=1, act_fn="gelu",
         only_cross_attention=True, downsample_padding=0, norm_eps=1e-6, time_embedding_dim=40, conv_in_kernel=1,
         down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
         up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), **small)
    unet("unet_no_middle", 4, 4, [],
         block_out_channels=(16,), layers_per_block=1, cross_attention_dim=24, attention_head_dim=2, mid_block_type=None,
         down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",), **small)
    vae("vae_attention", 24, block_out_channels=(8, 16, 16, 24), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=0.18215)
    vae("vae_plain", 16, block_out_channels=(8, 16, 24), layers_per_block=2, norm_num_groups=8, latent_channels=6,
        mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=0.5,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3)
    clip("clip_quick_gelu", CLIPTextModel, hidden_act="quick_gelu", eos_token_id=2)
    clip("clip_gelu", CLIPTextModelWithProjection, hidden_act="gelu", eos_token_id=59, projection_dim=20)
    blip("blip")
    pipeline("pipeline")
    originals()
    odd()


if __name__ == "__main__":
    main()
