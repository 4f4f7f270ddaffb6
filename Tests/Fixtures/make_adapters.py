"""Fixtures for AdaptersTests: a tiny base model, LoRA files in Kohya's and PEFT's key names, and what diffusers computes with them.

Written to adapters/. Kohya's file is made by the format's rules and then read by diffusers, which is the referee of names, alpha
and layout; PEFT's file is written by peft itself. With a path as argument, that LoRA file is loaded into diffusers on the same base
model, and the difference of its output to `output.kohya` is printed.
Needs: torch diffusers transformers peft safetensors.
"""
import hashlib
import json
import pathlib
import sys
import warnings

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save, save_file
from transformers import CLIPTextConfig, CLIPTextModel

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
OUT = pathlib.Path(__file__).parent / "adapters"
RANK, ALPHA = 4, 2.0

UNET = dict(
    sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=12,
    attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
TEXT = dict(
    vocab_size=64, hidden_size=12, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=8, bos_token_id=62, eos_token_id=63)
IDS = [[62, 5, 9, 1, 63, 63, 63, 63], [62, 33, 63, 63, 63, 63, 63, 63]]


def base():
    torch.manual_seed(0)
    unet, text = UNet2DConditionModel(**UNET).eval(), CLIPTextModel(CLIPTextConfig(**TEXT)).eval()
    return unet, text


def inputs():
    g = torch.Generator().manual_seed(7)
    return torch.randn(2, 4, 8, 8, generator=g), torch.tensor([3.0, 741.0])


@torch.no_grad()
def output(unet, text):
    x, t = inputs()
    return unet(x, t, text(torch.tensor(IDS))[0]).sample.permute(0, 2, 3, 1).contiguous()


def with_scope(path):
    """transformers 5 has dropped `text_model.` from its module paths; files keep it."""
    return path if path.startswith(("text_model.", "text_projection")) else "text_model." + path


def targets(unet, text):
    """(Kohya's name, module) of every layer that networks.lora adapts."""
    for name, module in text.named_modules():
        if isinstance(module, torch.nn.Linear) and (".self_attn." in name or ".mlp." in name):
            yield "lora_te_" + with_scope(name).replace(".", "_"), module
    for name, module in unet.named_modules():
        small = isinstance(module, torch.nn.Linear) or (isinstance(module, torch.nn.Conv2d) and module.kernel_size == (1, 1))
        if small and ".attentions." in "." + name:
            yield "lora_unet_" + name.replace(".", "_"), module


def kohya(unet, text):
    g = torch.Generator().manual_seed(11)
    tensors = {}
    for name, module in targets(unet, text):
        out, inn = module.weight.shape[:2]
        tail = (1, 1) if module.weight.dim() == 4 else ()
        tensors[f"{name}.lora_down.weight"] = torch.randn(RANK, inn, *tail, generator=g) * 0.3
        tensors[f"{name}.lora_up.weight"] = torch.randn(out, RANK, *tail, generator=g) * 0.3
        tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
    metadata = {"ss_network_module": "networks.lora", "ss_network_dim": str(RANK), "ss_network_alpha": str(ALPHA), "ss_base_model_version": "sd_v1"}
    data = save(tensors, metadata)
    start = 8 + int.from_bytes(data[:8], "little")
    legacy = save(tensors, metadata)[0x100000:0x110000]
    hashes = {"sshs_model_hash": hashlib.sha256(data[start:]).hexdigest(), "sshs_legacy_hash": hashlib.sha256(legacy).hexdigest()[:8]}
    save_file(tensors, OUT / "kohya.safetensors", {**metadata, **hashes})


def load(unet, text, path):
    state, alphas, *_ = (*StableDiffusionPipeline.lora_state_dict(str(path), unet_config=unet.config),)
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet=unet)
    StableDiffusionPipeline.load_lora_into_text_encoder(state, alphas, text_encoder=text)


def peft_file(unet, text):
    """A file in PEFT's names: the same kind of layers, written from peft's own layers."""
    config = LoraConfig(r=3, lora_alpha=3, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    torch.manual_seed(5)
    unet.add_adapter(config)
    state = {"unet." + k: v for k, v in get_peft_model_state_dict(unet).items()}
    save_file(state, OUT / "peft.safetensors")


def main():
    OUT.mkdir(exist_ok=True)
    unet, text = base()
    if len(sys.argv) > 1:
        load(unet, text, sys.argv[1])
        expected = load_file(OUT / "outputs.safetensors")["kohya"]
        print("largest difference to output.kohya:", float((output(unet, text) - expected).abs().max()), "of", float(expected.abs().max()))
        return
    save_file({k: v.contiguous() for k, v in unet.state_dict().items()}, OUT / "unet.safetensors")
    save_file({with_scope(k): v.contiguous() for k, v in text.state_dict().items() if "position_ids" not in k}, OUT / "text_encoder.safetensors")
    (OUT / "unet.json").write_text(json.dumps(dict(unet.config), default=str))
    (OUT / "text_encoder.json").write_text(text.config.to_json_string())
    outputs = dict(base=output(unet, text), latents=inputs()[0].permute(0, 2, 3, 1).contiguous())
    kohya(unet, text)
    load(unet, text, OUT / "kohya.safetensors")
    outputs["kohya"] = output(unet, text)
    unet, text = base()
    peft_file(unet, text)
    outputs["peft"] = output(unet, text)
    save_file(outputs, OUT / "outputs.safetensors")
    print({k: float(v.std()) for k, v in outputs.items()}, len(list(targets(*base()))), "modules")


if __name__ == "__main__":
    main()
