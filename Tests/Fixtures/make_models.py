#!/usr/bin/env python3
"""Fixtures for ModelsTests: small models of diffusers and transformers with weights by formula (formula.py).

Written to models/: for each case `<name>.json` (configuration, signature of keys and shapes, tokens) and
`<name>.safetensors` (outputs, input gradients, a few weight gradients; pictures and latents as [B, H, W, C]).
"pipeline" as argument writes that case alone. Needs: torch diffusers transformers safetensors.
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
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


def main():
    OUT.mkdir(exist_ok=True)
    if sys.argv[1:] == ["pipeline"]:
        return pipeline("pipeline")
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


if __name__ == "__main__":
    main()
