"""Ten AdamW steps of a LoRA in PyTorch on the smallest model of each family: SD 1 (noise), SD 2 (velocity), SDXL (sizes, two encoders).

Run with a Python that has torch, diffusers, transformers, numpy; writes Tests/Fixtures/training/ beside itself. Weights, inputs and
the adapter's first values are by formula, so that only gradients of the first step and factors after the tenth are stored.
"""
import json
import pathlib

import torch
from diffusers import UNet2DConditionModel
from formula import signed, weight
from safetensors.numpy import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

OUT = pathlib.Path(__file__).parent / "training"
RANK, ALPHA, RATE, STEPS, TIMESTEPS = 2, 1.0, 1e-3, 10, [17, 640]
IDS = [[62, 5, 9, 1, 63, 63, 63, 63], [62, 33, 63, 63, 63, 63, 63, 63]]
SIZES = [[64, 48, 0, 8, 96, 96], [128, 64, 3, 0, 64, 128]]

TEXT = dict(vocab_size=64, hidden_size=12, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=8,
            projection_dim=8, bos_token_id=62, eos_token_id=63, pad_token_id=63)
UNETS = {
    "sd1": dict(sample_size=8, block_out_channels=(8, 16), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, norm_num_groups=4, cross_attention_dim=12, attention_head_dim=2),
    "sd2": dict(sample_size=8, block_out_channels=(8, 16), down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, norm_num_groups=4, cross_attention_dim=12,
                attention_head_dim=(1, 4), use_linear_projection=True),
    "sdxl": dict(sample_size=8, block_out_channels=(4, 8), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                 up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=2, cross_attention_dim=20,
                 attention_head_dim=(1, 2), transformer_layers_per_block=(1, 2), use_linear_projection=True, addition_embed_type="text_time",
                 addition_time_embed_dim=4, projection_class_embeddings_input_dim=32),
}
TEXTS = {
    "sd1": [dict(TEXT, hidden_act="quick_gelu")], "sd2": [dict(TEXT, hidden_act="gelu")],
    "sdxl": [dict(TEXT, hidden_act="quick_gelu"), dict(TEXT, hidden_size=8, intermediate_size=16, hidden_act="gelu")],
}


def scoped(path, model):
    """The path in a checkpoint: transformers 5 has dropped the scope `text_model` from its module paths."""
    is_inner = isinstance(model, (CLIPTextModel, CLIPTextModelWithProjection)) and not path.startswith(("text_model", "text_projection"))
    return f"text_model.{path}" if is_inner else path


def filled(model):
    """The model with weights by formula, frozen."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(weight(scoped(key, model), tuple(parameter.shape))))
    return model.eval().requires_grad_(False)


def adapted(part, model, chosen, parameters):
    """Puts a LoRA beside every chosen layer, under the part's name and the layer's path."""
    for path, layer in model.named_modules():
        if not chosen(path, layer):
            continue
        name = f"{part}.{scoped(path, model)}"
        shape = layer.weight.shape
        down = torch.nn.Parameter(torch.from_numpy(signed(f"{name}.lora_down.weight", (RANK, *shape[1:]), 0.5)))
        up = torch.nn.Parameter(torch.from_numpy(signed(f"{name}.lora_up.weight", (shape[0], RANK, *shape[2:]), 0.1)))
        parameters[f"{name}.lora_down.weight"], parameters[f"{name}.lora_up.weight"] = down, up
        apply = torch.nn.functional.conv2d if len(shape) == 4 else torch.nn.functional.linear
        forward = layer.forward
        layer.forward = lambda x, forward=forward, apply=apply, down=down, up=up: forward(x) + apply(apply(x, down), up) * (ALPHA / RANK)


def in_unet(path, layer):
    is_linear = isinstance(layer, torch.nn.Linear) or isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (1, 1)
    return "attentions" in path and is_linear


def in_text(path, layer):
    return isinstance(layer, torch.nn.Linear) and ("self_attn" in path or "mlp" in path)


def conditions(family, texts):
    ids = torch.tensor(IDS)
    if family != "sdxl":
        return texts[0](ids).last_hidden_state, None
    outputs = [text(ids, output_hidden_states=True) for text in texts]
    context = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    return context, {"text_embeds": outputs[1].text_embeds, "time_ids": torch.tensor(SIZES, dtype=torch.float32)}


def train(family):
    unet = filled(UNet2DConditionModel(**UNETS[family]))
    classes = [CLIPTextModel, CLIPTextModelWithProjection]
    texts = [filled(classes[i](CLIPTextConfig(**config))) for i, config in enumerate(TEXTS[family])]
    parameters = {}
    for i, text in enumerate(texts):
        adapted(f"text{i + 1}", text, in_text, parameters)
    adapted("unet", unet, in_unet, parameters)

    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = torch.cumprod(1 - betas, 0)[TIMESTEPS].reshape(-1, 1, 1, 1)
    clean, noise = (torch.from_numpy(signed(key, (2, 4, 8, 8), 1.7)) for key in ("clean", "noise"))
    noisy = alphas.sqrt() * clean + (1 - alphas).sqrt() * noise
    target = alphas.sqrt() * noise - (1 - alphas).sqrt() * clean if family == "sd2" else noise
    optimizer = torch.optim.AdamW(parameters.values(), lr=RATE, weight_decay=0.01)
    losses, gradients = [], {}
    for step in range(STEPS):
        context, added = conditions(family, texts)
        predicted = unet(noisy, torch.tensor(TIMESTEPS), context, added_cond_kwargs=added).sample
        loss = torch.nn.functional.mse_loss(predicted, target)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {f"gradient.{name}": torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in parameters.items()}
        optimizer.step()
        losses.append(loss.item())
    tensors = {**gradients, **{f"trained.{name}": p.detach() for name, p in parameters.items()}}
    save_file({name: t.numpy().copy() for name, t in tensors.items()}, OUT / f"{family}.safetensors")
    unet_config = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    configs = [{**text.config.to_dict(), "architectures": [type(text).__name__]} for text in texts]
    (OUT / f"{family}.json").write_text(json.dumps({"unet": unet_config, "texts": configs, "losses": losses, "timesteps": TIMESTEPS, "ids": IDS, "sizes": SIZES}, default=str))
    print(family, len(parameters), losses[0], losses[-1])


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    for family in UNETS:
        train(family)


if __name__ == "__main__":
    main()
