"""Fixtures for AdaptersTests beside make_adapters.py's: one file of each kind of adapter, with what its own library computes.

Written to adapters/kinds/. LyCORIS' files are made by lycoris-lora's networks over the tiny base model of make_adapters.py; PEFT's and
diffusers' by these libraries; SDXL's in Kohya's names by the format's rules, and read by diffusers, which is the referee. Weights of
the SDXL model are by formula. Tensors are rounded to float16 before anything is computed, so that the files are small and exact.
With `check` and a folder as arguments, the files that AdaptersTests wrote there are read by lycoris-lora and diffusers, and the
largest differences to what Swift computed are printed.
Needs: torch diffusers transformers peft lycoris-lora safetensors.
"""
import json
import logging
import pathlib
import random
import shutil
import sys
import warnings

import torch
import transformers.integrations.peft
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from lycoris import kohya as lycoris_kohya
from lycoris.config import PRESET
from lycoris.modules.dylora import DyLoraModule
from lycoris.modules.full import FullModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import formula
import make_adapters as tiny

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
transformers.integrations.peft.MIN_PEFT_VERSION = "0.1"      # it asks for a release newer than this needs
torch.set_num_threads(1)
OUT = tiny.OUT / "kinds"
STRENGTH = 0.6

# LyCORIS' preset "full" as it is for Stable Diffusion; that of release 4.1 names the time embedding twice and fails on diffusers' UNet.
PRESET["all"] = dict(PRESET["full"], unet_target_module=["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"])
# A part of it, for what needs no more: residual blocks, halvings, the transformers' inner projections, the encoder's feed-forward layers.
PRESET["few"] = dict(PRESET["all"], unet_target_module=["ResnetBlock2D", "Downsample2D", "FeedForward"], unet_target_name=[], text_encoder_target_module=["CLIPMLP"])

# name -> LyCORIS' arguments; dim 2 and alpha 1, so that no scale is 1 by chance.
LYCORIS = dict(
    locon=dict(algo="locon"), locon_tucker=dict(algo="locon", use_tucker=True), locon_norm=dict(algo="locon", train_norm=True, preset="few"),
    loha=dict(algo="loha"), loha_tucker=dict(algo="loha", use_tucker=True, preset="few"),
    lokr=dict(algo="lokr", factor=2), lokr_both=dict(algo="lokr", decompose_both=True, factor=8, preset="few"), lokr_full=dict(algo="lokr", full_matrix=True, preset="few"),
    lokr_tucker=dict(algo="lokr", use_tucker=True, factor=2, preset="few"),
    full=dict(algo="full", train_norm=True), dora=dict(algo="locon", dora_wd=True, preset="few"), dora_input=dict(algo="locon", dora_wd=True, wd_on_output=False, preset="few"),
    dora_loha=dict(algo="loha", dora_wd=True, preset="few"), dora_lokr=dict(algo="lokr", dora_wd=True, factor=2, preset="few"))


def half(x):
    return x.half().float()


@torch.no_grad()
def randomise(module, seed, scale=0.3):
    g = torch.Generator().manual_seed(seed)
    for name, p in sorted(module.named_parameters()):
        if name.endswith("dora_scale"):
            p.data = half(p.data * (0.8 + 0.4 * torch.rand(p.shape, generator=g)))
        else:
            p.data = half(torch.randn(p.shape, generator=g) * scale)


def loras(net):
    """A network's modules, which are its own only once it is applied."""
    return torch.nn.ModuleDict({m.lora_name: m for m in net.text_encoder_loras + net.unet_loras})


@torch.no_grad()
def both(unet, text):
    return tiny.output(unet, text), text(torch.tensor(tiny.IDS))[0]


def lycoris_case(name, arguments, outputs):
    unet, text = tiny.base()
    net = lycoris_kohya.create_network(1.0, 2, 1.0, None, text, unet, **{"preset": "all"} | arguments)
    is_full = arguments["algo"] == "full"
    randomise(loras(net), 3, 0.05 if is_full or "norm" in name else 0.3)      # a full difference of unit size would be all there is
    dtype = torch.float16
    if is_full:     # its parameters become whole weights when applied: written before, where they are differences
        rows = {f"{m.lora_name}.{k}": v for m in net.unet_loras + net.text_encoder_loras for k, v in
                ({"diff": m.weight, **({} if m.bias is None else {"diff_b": m.bias})} if isinstance(m, FullModule) else {"w_norm": m.w_norm, "b_norm": m.b_norm}).items()}
        save_file({k: v.detach().to(dtype).contiguous() for k, v in rows.items()}, OUT / f"{name}.safetensors")
    net.apply_to(text, unet, True, True)
    if not is_full:
        net.save_weights(str(OUT / f"{name}.safetensors"), dtype, {})
    for strength in (1.0, STRENGTH):
        net.set_multiplier(strength)
        suffix = "" if strength == 1 else ".weaker"
        outputs[f"{name}{suffix}"], outputs[f"{name}{suffix}.text"] = both(unet, text)


def dylora_case(outputs):
    """Written by the dylora network; read, as lycoris-lora reads it, by locon's."""
    unet, text = tiny.base()
    net = lycoris_kohya.create_network(1.0, 4, 2.0, None, text, unet, preset="few", algo="dylora", block_size=2)
    randomise(loras(net), 3)
    net.apply_to(text, unet, True, True)
    net.save_weights(str(OUT / "dylora.safetensors"), torch.float16, {})
    state = load_file(OUT / "dylora.safetensors")
    unet, text = tiny.base()
    net = lycoris_kohya.create_network(1.0, 4, 2.0, None, text, unet, preset="few", algo="locon")
    net.apply_to(text, unet, True, True)
    shapes = {k: v.shape for k, v in net.state_dict().items()}       # dylora's files have up matrices of two axes for 1×1 kernels, too
    result = net.load_state_dict({k: v.float().reshape(shapes.get(k, v.shape)) for k, v in state.items()}, strict=False)
    assert not result.unexpected_keys, result
    outputs["dylora"], outputs["dylora.text"] = both(unet, text)
    blocks = {}
    for key, value in state.items():
        if key.endswith("lora_up.weight"):
            blocks |= {key.replace("lora_up.weight", f"up_list.{i}"): v.reshape(v.shape[0], -1).contiguous() for i, v in enumerate(value.split(2, dim=1))}
        elif key.endswith("lora_down.weight"):
            blocks |= {key.replace("lora_down.weight", f"down_list.{i}"): v.reshape(v.shape[0], -1).contiguous() for i, v in enumerate(value.split(2, dim=0))}
        else:
            blocks[key] = value
    save_file(blocks, OUT / "dylora_blocks.safetensors")


def peft_cases(outputs):
    unet, text = tiny.base()
    layers = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "conv1"]
    for which, options in dict(
        peft_patterns=dict(r=2, lora_alpha=3, rank_pattern={"attn1.to_q": 3}, alpha_pattern={"attn1.to_q": 5, "to_v": 1}),
        peft_stabilised=dict(r=3, lora_alpha=2, use_rslora=True), peft_dora=dict(r=2, lora_alpha=3, use_dora=True)).items():
        unet, text = tiny.base()
        unet.add_adapter(LoraConfig(init_lora_weights=False, target_modules=layers, **options))
        text_options = {k: v for k, v in options.items() if "pattern" not in k}
        text.add_adapter(LoraConfig(init_lora_weights=False, target_modules=["q_proj", "out_proj"], **text_options))
        for model in (unet, text):
            g = torch.Generator().manual_seed(4)
            for key, p in sorted(model.named_parameters()):
                if "lora_magnitude" in key:
                    p.data = half(p.data * (0.8 + 0.4 * torch.rand(p.shape, generator=g)))
                elif "lora_" in key:
                    p.data = half(torch.randn(p.shape, generator=g) * 0.3)
        metadata = lambda m: m.peft_config["default"].to_dict()
        StableDiffusionPipeline.save_lora_weights(
            OUT, unet_lora_layers=get_peft_model_state_dict(unet), text_encoder_lora_layers=get_peft_model_state_dict(text), weight_name=f"{which}.safetensors",
            unet_lora_adapter_metadata=metadata(unet), text_encoder_lora_adapter_metadata=metadata(text))
        outputs[which], outputs[which + ".text"] = both(unet, text)

    unet, text = tiny.base()
    model = get_peft_model(unet, LoraConfig(r=2, lora_alpha=6, init_lora_weights=False, target_modules=layers))
    folder = OUT / "peft_model"
    model.save_pretrained(folder)
    for extra in ("README.md",):
        (folder / extra).unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({k: config[k] for k in ("peft_type", "r", "lora_alpha", "alpha_pattern", "rank_pattern", "use_rslora")}, indent=1))
    outputs["peft_model"], outputs["peft_model.text"] = both(unet, text)


def old_diffusers(outputs):
    """Attention processors' names of diffusers 0.1x for the UNet, and `lora_linear_layer` for the text encoder."""
    unet, text = tiny.base()
    g = torch.Generator().manual_seed(9)
    state = {}

    def pair(name, module, rank=2):
        state[f"{name}.down.weight"] = torch.randn(rank, module.in_features, generator=g).mul(0.3).half()
        state[f"{name}.up.weight"] = torch.randn(module.out_features, rank, generator=g).mul(0.3).half()

    for name, module in unet.named_modules():
        if name.endswith((".attn1", ".attn2")):
            for part in ("to_q", "to_k", "to_v"):
                pair(f"unet.{name}.processor.{part}_lora", getattr(module, part))
            pair(f"unet.{name}.processor.to_out_lora", module.to_out[0])
    for name, module in text.named_modules():
        if name.endswith(("q_proj", "k_proj", "v_proj", "out_proj")):
            pair(f"text_encoder.{tiny.with_scope(name)}.lora_linear_layer", module)
    save_file(state, OUT / "old_diffusers.safetensors")
    # diffusers takes the file for wholly old or wholly new, so each part goes in by itself.
    for prefix, load, model in (("unet", StableDiffusionPipeline.load_lora_into_unet, dict(unet=unet)), ("text_encoder", StableDiffusionPipeline.load_lora_into_text_encoder, dict(text_encoder=text))):
        part = {k: v.float() for k, v in state.items() if k.startswith(prefix + ".")}
        load(part, None, **model)
    outputs["old_diffusers"], outputs["old_diffusers.text"] = both(unet, text)


# MARK: SDXL

XL_UNET = dict(
    sample_size=8, in_channels=4, out_channels=4, block_out_channels=(4, 8, 8), layers_per_block=2, norm_num_groups=2, cross_attention_dim=20, attention_head_dim=(1, 2, 2),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 1, 2), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=8 + 24)
XL_TEXTS = [dict(tiny.TEXT), dict(tiny.TEXT, hidden_size=8, intermediate_size=16, projection_dim=8, hidden_act="gelu")]


def filled(model, prefix):
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.data = torch.from_numpy(formula.weight(f"{prefix}{key}", tuple(p.shape)))
    return model.eval()


def xl_base():
    unet = filled(UNet2DConditionModel(**XL_UNET), "")
    first = CLIPTextModel(CLIPTextConfig(**XL_TEXTS[0]))
    second = CLIPTextModelWithProjection(CLIPTextConfig(**XL_TEXTS[1]))
    for model in (first, second):
        with torch.no_grad():
            for key, p in model.named_parameters():
                p.data = torch.from_numpy(formula.weight(tiny.with_scope(key), tuple(p.shape)))
        model.eval()
    return unet, first, second


@torch.no_grad()
def xl_output(unet, first, second):
    x, t = tiny.inputs()
    ids = torch.tensor(tiny.IDS)
    one, two = first(ids, output_hidden_states=True), second(ids, output_hidden_states=True)
    context = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1)
    added = dict(text_embeds=two.text_embeds, time_ids=torch.tensor([[64.0, 48, 0, 8, 96, 96], [128, 64, 3, 0, 64, 128]]))
    return unet(x, t, context, added_cond_kwargs=added).sample.permute(0, 2, 3, 1).contiguous()


OUTER = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
         "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0", "conv_out": "out.2"}
RESIDUAL = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def ldm_names(unet):
    """diffusers' module path -> LDM's, walking the blocks in the order in which LDM numbers them."""
    table, number = dict(OUTER), 1

    def block(path, ldm):
        names = [n for n, m in unet.get_submodule(path).named_modules() if not list(m.children())]
        is_residual = ".resnets." in path
        return {f"{path}.{n}": f"{ldm}.{RESIDUAL[n] if is_residual else n}" for n in names if not is_residual or n in RESIDUAL}

    for b, level in enumerate(unet.down_blocks):
        for i in range(len(level.resnets)):
            table |= block(f"down_blocks.{b}.resnets.{i}", f"input_blocks.{number}.0")
            if getattr(level, "attentions", None):
                table |= block(f"down_blocks.{b}.attentions.{i}", f"input_blocks.{number}.1")
            number += 1
        if level.downsamplers:
            table[f"down_blocks.{b}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    table |= block("mid_block.resnets.0", "middle_block.0") | block("mid_block.attentions.0", "middle_block.1") | block("mid_block.resnets.1", "middle_block.2")
    number = 0
    for b, level in enumerate(unet.up_blocks):
        for i in range(len(level.resnets)):
            table |= block(f"up_blocks.{b}.resnets.{i}", f"output_blocks.{number}.0")
            attends = getattr(level, "attentions", None) is not None
            if attends:
                table |= block(f"up_blocks.{b}.attentions.{i}", f"output_blocks.{number}.1")
            if level.upsamplers and i == len(level.resnets) - 1:
                table[f"up_blocks.{b}.upsamplers.0.conv"] = f"output_blocks.{number}.{2 if attends else 1}.conv"
            number += 1
    return {k: v for k, v in table.items() if k in dict(unet.named_modules())}


def xl_load(path, unet, first, second):
    state, alphas, *_ = (*StableDiffusionXLPipeline.lora_state_dict(str(path), unet_config=unet.config),)
    StableDiffusionXLPipeline.load_lora_into_unet(state, alphas, unet=unet)
    StableDiffusionXLPipeline.load_lora_into_text_encoder(state, alphas, text_encoder=first, prefix="text_encoder")
    StableDiffusionXLPipeline.load_lora_into_text_encoder(state, alphas, text_encoder=second, prefix="text_encoder_2")


def xl_cases(outputs):
    unet, first, second = xl_base()
    outputs["xl"] = xl_output(unet, first, second)
    ldm = ldm_names(unet)
    g = torch.Generator().manual_seed(12)
    kohya, dotted = {}, {}

    def add(name, module, is_plain):
        out, inn = module.weight.shape[:2]
        kernel = module.kernel_size if module.weight.dim() == 4 else ()
        down, up = torch.randn(2, inn, *kernel, generator=g) * 0.3, torch.randn(out, 2, *((1, 1) if kernel else ()), generator=g) * 0.3
        kohya.update({f"{name}.lora_down.weight": down.half(), f"{name}.lora_up.weight": up.half(), f"{name}.alpha": torch.tensor(1.0).half()})

    for name, module in unet.named_modules():
        inside = ".attentions." in name or ".resnets." in name or "samplers." in name
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and inside:
            add("lora_unet_" + ldm[name].replace(".", "_"), module, True)
    for prefix, text in (("lora_te1_", first), ("lora_te2_", second)):
        for name, module in text.named_modules():
            if isinstance(module, torch.nn.Linear) and (".self_attn." in name or ".mlp." in name):
                add(prefix + tiny.with_scope(name).replace(".", "_"), module, True)
    save_file(kohya, OUT / "xl.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"})
    xl_load(OUT / "xl.safetensors", unet, first, second)
    outputs["xl_kohya"] = xl_output(unet, first, second)
    (OUT / "xl_unet.json").write_text(json.dumps({k: v for k, v in unet.config.items() if not k.startswith("_")}))
    for i, text in enumerate((first, second)):
        config = json.loads(text.config.to_json_string()) | {"architectures": [type(text).__name__]}
        (OUT / f"xl_text_{i + 1}.json").write_text(json.dumps(config))


def names():
    """Signatures of `path=Kohya's name` for every layer and normalisation of the three families, at full depth and few channels."""
    full = dict(
        sd1=dict(block_out_channels=(4, 4, 4, 4), norm_num_groups=2, attention_head_dim=2, cross_attention_dim=4),
        sd2=dict(block_out_channels=(4, 4, 4, 4), norm_num_groups=2, attention_head_dim=2, cross_attention_dim=4, use_linear_projection=True),
        sdxl=dict(XL_UNET, block_out_channels=(4, 4, 4), attention_head_dim=2, transformer_layers_per_block=(1, 2, 10)))
    result = {}
    for name, config in full.items():
        unet = UNet2DConditionModel(**config)
        ldm = ldm_names(unet)
        leaves = sorted(n for n, m in unet.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.GroupNorm, torch.nn.LayerNorm)))
        check_names(unet, ldm)
        lines = [f"{n}={ldm[n]}\n" for n in leaves]
        result[name] = dict(config={k: v for k, v in unet.config.items() if not k.startswith("_")}, count=len(leaves), signature=f"{formula.fnv1a(''.join(lines)):016x}",
                            layers=sum(isinstance(unet.get_submodule(n), (torch.nn.Linear, torch.nn.Conv2d)) for n in leaves))
    (OUT / "names.json").write_text(json.dumps(result))


def check_names(unet, ldm):
    """diffusers, given a file with these names, must come to the module paths."""
    if unet.config.addition_embed_type is None:
        return       # its converter maps LDM's names for SDXL's three levels only
    targets = {n: v for n, v in ldm.items() if ".attentions." in n or ".resnets." in n or "samplers." in n}
    targets = {n: v for n, v in targets.items() if isinstance(unet.get_submodule(n), (torch.nn.Linear, torch.nn.Conv2d))}
    state = {}
    for path, name in targets.items():
        key = "lora_unet_" + name.replace(".", "_")
        state |= {f"{key}.lora_down.weight": torch.zeros(1, 1), f"{key}.lora_up.weight": torch.zeros(1, 1), f"{key}.alpha": torch.tensor(1.0)}
    found = StableDiffusionXLPipeline.lora_state_dict(state, unet_config=unet.config)[0]
    paths = {k.removeprefix("unet.").replace(".processor", "").replace("to_out_lora", "to_out.0.lora").replace("_lora.", ".lora.").split(".lora")[0] for k in found}
    assert paths == set(targets), sorted(paths ^ set(targets))[:5]


# MARK: Gradients

def gradients():
    """One small layer for each formula: its base weight, its adapter as a file, an input, and lycoris-lora's gradients."""
    modules, values = {}, {}
    options = dict(
        locon=(LoConModule, {}), tucker=(LoConModule, dict(use_tucker=True)), loha=(LohaModule, {}), lohacore=(LohaModule, dict(use_tucker=True)),
        lokr=(LokrModule, dict(factor=2)), lokrboth=(LokrModule, dict(factor=8, decompose_both=True)), lokrcore=(LokrModule, dict(use_tucker=True, factor=2)),
        dora=(LoConModule, dict(weight_decompose=True)), dylora=(DyLoraModule, dict(block_size=2)))
    for kind, (cls, extra) in options.items():
        for where in ("linear", "conv"):
            name, dim = f"{kind}_{where}", 4 if kind == "dylora" else 2
            g = torch.Generator().manual_seed(21)
            layer = torch.nn.Linear(32, 64) if where == "linear" and kind == "lokrboth" else torch.nn.Linear(12, 16) if where == "linear" else torch.nn.Conv2d(12, 16, 3, stride=2, padding=1)
            layer.weight.data = half(torch.randn(layer.weight.shape, generator=g) * 0.3)
            layer.bias.data = half(torch.randn(layer.bias.shape, generator=g) * 0.3)
            layer.requires_grad_(False)
            module = cls(name, layer, 1.0, dim, 1.0, **extra)
            randomise(module, 22, 0.5)
            x = torch.randn(3, layer.in_features, generator=g) if where == "linear" else torch.randn(2, 12, 6, 5, generator=g)
            x = half(x).requires_grad_()
            original, random.randint = random.randint, lambda a, b: 1          # DyLoRA: the second block of two
            y = module(x)
            random.randint = original
            seed = half(torch.randn(y.shape, generator=g))
            y.backward(seed)
            last = lambda v: v.detach().permute(0, 2, 3, 1).contiguous() if v.dim() == 4 else v.detach()
            values |= {f"{name}.x": last(x), f"{name}.y": last(y), f"{name}.seed": last(seed), f"{name}.dx": last(x.grad)}
            values |= {f"{name}.weight": layer.weight.detach(), f"{name}.bias": layer.bias.detach()}
            if kind == "dylora":
                values[f"{name}.grad.lora_down.weight"] = torch.cat([torch.zeros_like(v) if v.grad is None else v.grad for v in module.down_list]).reshape(dim, *layer.weight.shape[1:])
                values[f"{name}.grad.lora_up.weight"] = torch.cat([torch.zeros_like(v) if v.grad is None else v.grad for v in module.up_list], 1).reshape(16, dim, *([1, 1] if where == "conv" else []))
                values |= {f"{name}.{k}": v.detach().clone().contiguous() for k, v in module.custom_state_dict().items() if k != "alpha"}
            else:
                values |= {f"{name}.grad.{k}": p.grad for k, p in module.named_parameters()}
                modules |= {f"lora_unet_{name}.{k}": v.detach().clone().contiguous() for k, v in module.custom_state_dict().items()}
    save_file(modules, OUT / "gradient_modules.safetensors")
    save_file({k: v.clone().contiguous() for k, v in values.items()}, OUT / "gradients.safetensors")


def check(folder):
    """The other direction: files that AdaptersTests wrote, with the outputs that it computed."""
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        if path.stem.startswith("outputs"):
            continue
        expected = load_file(path.with_name(f"outputs_{path.name}"))["output"]
        if path.stem.startswith("xl"):
            models = xl_base()
            xl_load(path, *models)
            found = xl_output(*models)
        elif path.stem.startswith("diffusers"):
            models = tiny.base()
            tiny.load(*models, path)
            found = tiny.output(*models)
        else:
            unet, text = tiny.base()
            lycoris_kohya.LycorisNetworkKohya.apply_preset(PRESET["all"])
            scoped = torch.nn.ModuleDict(dict(text_model=text))          # the module paths that files have
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
            if "use_tucker" in metadata.get("ss_network_args", "") and '"lokr"' in metadata["ss_network_args"]:
                # Its loader takes a cored LoKr's rank from the wrong axis: made from the arguments instead, as for training.
                dim, alpha = int(metadata["ss_network_dim"]), float(metadata["ss_network_alpha"])
                net = lycoris_kohya.create_network(1.0, dim, alpha, None, scoped, unet, preset="all", **json.loads(metadata["ss_network_args"]))
                net.apply_to(scoped, unet, True, True)
                assert not net.load_state_dict(load_file(path), strict=False).unexpected_keys
            else:
                net, _ = lycoris_kohya.create_network_from_weights(1.0, str(path), None, scoped, unet, for_inference=True)
                net.apply_to(scoped, unet, True, True)
            found = tiny.output(unet, text)
        print(f"{path.stem}: {float((found - expected).abs().max()):.2e} of {float(expected.abs().max()):.2f}")


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "check":
        return check(sys.argv[2])
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    names()
    gradients()
    outputs = {}
    for name, arguments in LYCORIS.items():
        lycoris_case(name, arguments, outputs)
    dylora_case(outputs)
    peft_cases(outputs)
    old_diffusers(outputs)
    xl_cases(outputs)
    save_file({k: v.contiguous() for k, v in outputs.items()}, OUT / "outputs.safetensors")
    print({k: round(float(v.std()), 3) for k, v in outputs.items() if not k.endswith(".text")})


if __name__ == "__main__":
    main()
