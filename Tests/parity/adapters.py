"""`adapters`: adapter files written by peft and lycoris-lora over random base models; their own picture against LoRALab's.

diffusers draws with the file loaded, or with LyCORIS' network applied to its modules; LoRALab with `%sample --lora FILE:STRENGTH`.
"""
import pathlib
import random
import tempfile

import torch
import transformers.integrations.peft
from lycoris import kohya as lycoris_kohya
from lycoris.config import PRESET
from lycoris.modules.dylora import DyLoraModule
from lycoris.modules.norms import NormModule
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

import models
from drawing import NoReference, alone, draw, judge, random_picture, reference, sample_cell
from kernel import CellError, magic
from report import FAILED, SKIPPED, Report

transformers.integrations.peft.MIN_PEFT_VERSION = "0.1"      # it asks for a release newer than this needs

STRENGTHS = [1, 1, 0.5, 0.8, -0.6, 1.4]
SIZE = 0.3          # of a layer's change against the layer, roughly
PEFT_KINDS = ("peft", "peft", "diffusers", "kohya", "kohya", "two")
LYCORIS_KINDS = ("locon", "loha", "lokr", "dylora")

# LyCORIS' preset "full" with the modules of Stable Diffusion alone; the release's names the time embedding twice.
PRESET["parity"] = dict(PRESET["full"], unet_target_module=["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"],
                        text_encoder_target_module=["CLIPAttention", "CLIPMLP"])


def add_arguments(parser):
    parser.add_argument("--family", choices=models.FAMILIES, help="models of this family only")
    parser.add_argument("--kind", choices=sorted({*PEFT_KINDS, *LYCORIS_KINDS}), help="files of this kind only")


def run(options, kernel):
    columns = {"model": 36, "adapter": 44, "strength": 11, "sampler": 19, "mean": 7, "max": 4, "note": 0}
    report = Report("adapters", columns, options.keep)
    r = random.Random(options.seed)
    done = index = 0
    while done < options.count:
        recipe = models.random_recipe(r.randrange(1 << 30), options.family, single_file=False, plain_noise=True)
        with tempfile.TemporaryDirectory(prefix="parity-model") as folder:
            path = models.write(recipe, folder)["folder"]
            for _ in range(min(4, options.count - done)):
                kind = options.kind or r.choice(r.choice([PEFT_KINDS, LYCORIS_KINDS]))
                pipe = models.load(path)
                number = done
                if kind in LYCORIS_KINDS:
                    label, files, set_strength = lycoris(r, kind, pipe, pathlib.Path(folder) / f"adapter-{number}")
                else:
                    label, files, set_strength = peft(r, kind, pipe, path, pathlib.Path(folder) / f"adapter-{number}")
                compare(report, kernel, options, r, recipe, path, pipe, label, files, set_strength, f"model-{index}", folder)
                done += 1
        index += 1
    return report.finish()


def compare(report, kernel, options, r, recipe, path, pipe, label, files, set_strength, name, folder):
    unet = r.choice(STRENGTHS)
    text = r.choice([unet, unet, r.choice(STRENGTHS), 0])
    if "dora" in label:
        # peft's DoRA at a strength is another formula than LyCORIS', which LoRALab takes for all files; LyCORIS' own does not end at 0.
        unet, text = (1, 1) if "dora_wd" not in label else (unet, text or unet)
    case = random_picture(r, pipe)
    case["guidance"], case["clip_skip"] = min(case["guidance"], 5), None
    try:
        set_strength(0, 0)
        without = reference(pipe, case)
        set_strength(unet, text)
        theirs = reference(pipe, case)
        if text == 0 and (theirs == without).all():     # the file is about text alone
            text = unet
            set_strength(unet, text)
            theirs = reference(pipe, case)
    except NoReference as error:
        report.add(SKIPPED, models.describe(recipe), label, f"{unet}:{text}", case["sampler"], "-", "-", note=str(error))
        return
    references = [f"{file}:{unet}" + (f":{text}" if text != unet else "") for file in files]
    ours, cells = None, [magic("model", path), sample_cell(case, "OUT", lora=references)]
    if options.reference_only:
        verdict, mean, maximum, note = alone(pipe, case, theirs)
    else:
        try:
            kernel.run(cells[0])
            ours = draw(kernel, case, lora=references)
            verdict, mean, maximum, note = judge(pipe, case, theirs, ours)
        except CellError as error:
            verdict, mean, maximum, note = FAILED, "-", "-", str(error)
    effect = abs(theirs.astype(int) - without.astype(int)).mean()
    report.add(verdict, models.describe(recipe), label, f"{unet}:{text}", case["sampler"], mean, maximum, note=f"changes the picture by {effect:.1f} {note}")
    if verdict == FAILED:
        report.save(name, folder, dict(case, recipe=recipe, adapter=label, strengths=[unet, text]), cells, dict(ours=ours, theirs=theirs))


# --- peft, diffusers, Kohya's names ---------------------------------------------------------------------------------------

UNET_LAYERS = {
    "attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "transformer": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"],
    "residual": ["conv1", "conv2", "time_emb_proj", "conv_shortcut", "to_q", "proj_in"],
    "all": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut",
            "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv", "conv_in", "conv_out", "linear_1", "linear_2"],
}
TEXT_LAYERS = [["q_proj", "k_proj", "v_proj", "out_proj"], ["q_proj", "out_proj"], ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]]


def parts_of(pipe):
    names = ["unet", "text_encoder"] + (["text_encoder_2"] if hasattr(pipe, "text_encoder_2") else [])
    return {name: getattr(pipe, name) for name in names}


def peft(r, kind, pipe, path, folder):
    """One file, or two that are used together. Returns a label, the files, and what sets the strengths of the referee."""
    folder.mkdir()
    labels, files = [], []
    for i in range(2 if kind == "two" else 1):
        one = r.choice(["kohya", "peft"]) if kind == "two" else kind
        label, file = peft_file(r, one, models.load(path), folder / f"adapter{i}.safetensors", allows_dora=kind != "two")
        labels.append(label)
        files.append(file)
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"a{i}")
        load_magnitudes(pipe, file, f"a{i}")

    present = [name for name, part in parts_of(pipe).items() if any(isinstance(m, LoraLayer) for m in part.modules())]

    def set_strength(unet, text):
        weights = [{name: unet if name == "unet" else text for name in present} for _ in files]     # diffusers empties them
        pipe.set_adapters([f"a{i}" for i in range(len(files))], adapter_weights=weights)

    return " + ".join(labels), files, set_strength


@torch.no_grad()
def load_magnitudes(pipe, file, name):
    """DoRA's vectors of text encoders, which diffusers, with transformers 5, leaves as it makes them."""
    state = load_file(file)
    for part_name, part in parts_of(pipe).items():
        for path, module in part.named_modules():
            key = f"{part_name}.{path}.lora_magnitude_vector"
            if key in state:
                module.lora_magnitude_vector[name].weight.copy_(state[key].reshape(module.lora_magnitude_vector[name].weight.shape))


def peft_file(r, kind, pipe, file, allows_dora):
    """An adapter of peft's layers with random factors, saved in one of the ways there are.

    allows_dora: peft's DoRA scales what the adapters before it have added, so that with several their order counts.
    """
    rank, targets = r.choice([1, 2, 4, 6]), "attention" if kind == "diffusers" else r.choice(list(UNET_LAYERS))
    alpha = r.choice([rank, rank, 1, 2 * rank, 3])
    options = dict(r=rank, lora_alpha=alpha)
    if kind != "kohya":
        options |= dict(use_rslora=r.random() < 0.2, use_dora=allows_dora and r.random() < 0.2)
    learning = r.choice([("unet",), ("unet", "text"), ("unet", "text"), ("text",)])
    text_layers = r.choice(TEXT_LAYERS[:2] if kind == "diffusers" else TEXT_LAYERS)
    g = torch.Generator().manual_seed(r.randrange(1 << 30))
    chosen = {}
    for name, part in parts_of(pipe).items():
        if ("unet" if name == "unet" else "text") in learning:
            part.add_adapter(LoraConfig(init_lora_weights=False, target_modules=UNET_LAYERS[targets] if name == "unet" else text_layers, **options))
            randomise_peft(part, g)
            chosen[name] = part
    words = [kind, "+".join(learning), targets if "unet" in learning else "", f"r{rank} α{alpha}", "rslora" if options.get("use_rslora") else "",
             "dora" if options.get("use_dora") else ""]
    label = " ".join(filter(None, words))
    if kind == "kohya":
        save_kohya(r, chosen, file)
    else:
        save_peft(r, kind, pipe, chosen, file)
    return label, file


@torch.no_grad()
def randomise_peft(model, g):
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        down, up, scale = module.lora_A["default"].weight, module.lora_B["default"].weight, module.scaling["default"]
        down.copy_(torch.randn(down.shape, generator=g) / down[0].numel() ** 0.5)
        up.copy_(torch.randn(up.shape, generator=g) * SIZE / (up.shape[1] ** 0.5 * scale))
        for vector in module.lora_magnitude_vector.values():
            vector.weight.mul_(0.8 + 0.4 * torch.rand(vector.weight.shape, generator=g))


def save_peft(r, kind, pipe, chosen, file):
    """By diffusers' own method: peft's names, or those of its older training scripts, which have them for attention alone; alpha in
    the metadata or nowhere."""
    from diffusers.utils import convert_state_dict_to_diffusers
    with_metadata = r.random() < 0.6
    layers, metadata = {}, {}
    for name, part in chosen.items():
        state = get_peft_model_state_dict(part)
        layers[f"{name}_lora_layers"] = convert_state_dict_to_diffusers(state) if kind == "diffusers" else state
        metadata[f"{name}_lora_adapter_metadata"] = part.peft_config["default"].to_dict() if with_metadata else None
    pipe.save_lora_weights(file.parent, weight_name=file.name, **layers, **metadata)


def save_kohya(r, chosen, file):
    """Kohya's names: `lora_te_` or, with two encoders, `lora_te1_` and `lora_te2_`; SDXL's UNet by LDM's numbers where diffusers reads them."""
    is_xl = hasattr(chosen.get("unet"), "add_embedding") or "text_encoder_2" in chosen
    table = ldm_table(chosen["unet"]) if is_xl and "unet" in chosen and diffusers_reads_ldm(chosen["unet"]) and r.random() < 0.7 else {}
    state = {}
    for name, part in chosen.items():
        prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_" if is_xl else "lora_te_", "text_encoder_2": "lora_te2_"}[name]
        for path, module in part.named_modules():
            if isinstance(module, LoraLayer) and not path.startswith("add_embedding."):     # whose name diffusers does not find
                path = table.get(path, path)
                if name != "unet" and not path.startswith("text_model."):
                    path = "text_model." + path
                key = prefix + path.replace(".", "_")
                state[f"{key}.lora_down.weight"] = module.lora_A["default"].weight
                state[f"{key}.lora_up.weight"] = module.lora_B["default"].weight
                state[f"{key}.alpha"] = torch.tensor(float(module.lora_alpha["default"]))
    dtype = r.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16])
    save_file({k: v.detach().to(dtype).contiguous() for k, v in state.items()}, file)


def diffusers_reads_ldm(unet):
    """diffusers maps the names of UNets of SDXL's shape alone."""
    return len(unet.config.block_out_channels) == 3 and unet.config.layers_per_block == 2


def ldm_table(unet):
    """diffusers' module paths -> LDM's, which number the blocks of each way in one row."""
    table, number = {}, 1
    names = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}

    def enter(path, ldm):
        for name, _ in unet.get_submodule(path).named_modules():
            if ".resnets." not in path:
                table[f"{path}.{name}"] = f"{ldm}.{name}"
            elif name in names:
                table[f"{path}.{name}"] = f"{ldm}.{names[name]}"

    for b, level in enumerate(unet.down_blocks):
        for i in range(len(level.resnets)):
            enter(f"down_blocks.{b}.resnets.{i}", f"input_blocks.{number}.0")
            if getattr(level, "attentions", None):
                enter(f"down_blocks.{b}.attentions.{i}", f"input_blocks.{number}.1")
            number += 1
        if level.downsamplers:
            table[f"down_blocks.{b}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    enter("mid_block.resnets.0", "middle_block.0")
    enter("mid_block.attentions.0", "middle_block.1")
    enter("mid_block.resnets.1", "middle_block.2")
    number = 0
    for b, level in enumerate(unet.up_blocks):
        attends = getattr(level, "attentions", None) is not None
        for i in range(len(level.resnets)):
            enter(f"up_blocks.{b}.resnets.{i}", f"output_blocks.{number}.0")
            if attends:
                enter(f"up_blocks.{b}.attentions.{i}", f"output_blocks.{number}.1")
            if level.upsamplers and i == len(level.resnets) - 1:
                table[f"up_blocks.{b}.upsamplers.0.conv"] = f"output_blocks.{number}.{2 if attends else 1}.conv"
            number += 1
    return table


# --- LyCORIS --------------------------------------------------------------------------------------------------------------

def lycoris(r, kind, pipe, folder):
    """A network of LyCORIS over the whole model with random weights, written by itself and applied to the referee."""
    folder.mkdir()
    file = folder / "adapter.safetensors"
    rank = r.choice([4, 8]) if kind == "dylora" else r.choice([1, 2, 4])
    alpha = r.choice([rank, 1, 3])
    arguments = dict(algo=kind, conv_dim=rank if kind == "dylora" else r.choice([rank, 2]), conv_alpha=r.choice([alpha, 1]))
    if kind == "dylora":
        arguments["block_size"] = r.choice([2, 4])
    if kind == "lokr":
        arguments |= r.choice([dict(factor=2), dict(factor=4), dict(factor=8, decompose_both=True), dict(full_matrix=True), {}])
    if kind != "dylora":
        more = [{}, {}, {}, dict(use_tucker=True), dict(dora_wd=True), dict(train_norm=True), dict(dora_wd=True, wd_on_output=False)]
        # Files of LoKr do not say it: where both matrices are whole, what reads them scales by 1.
        arguments |= r.choice(more + ([] if kind == "lokr" else [dict(rs_lora=True)]))
    texts = [scoped(part) for name, part in parts_of(pipe).items() if name != "unet"]
    net = network(rank, alpha, texts, pipe.unet, arguments)
    dtype = r.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16])
    randomise_lycoris(net, torch.Generator().manual_seed(r.randrange(1 << 30)), dtype)
    if kind == "dylora":
        # Read, as by lycoris-lora itself, by LoCon: all blocks count.
        state = {f"{m.lora_name}.{k}": v.detach().to(dtype) for m in net.loras for k, v in m.custom_state_dict().items()}
        save_file({k: v.contiguous() for k, v in state.items()}, file)
        net = network(rank, alpha, texts, pipe.unet, dict(arguments, algo="locon"))
        net.apply_to(texts if len(texts) > 1 else texts[0], pipe.unet, True, True)
        shapes = {k: v.shape for k, v in net.state_dict().items()}       # its files have up matrices of two axes for kernels, too
        result = net.load_state_dict({k: v.float().reshape(shapes.get(k, v.shape)) for k, v in load_file(file).items()}, strict=False)
        assert not result.unexpected_keys, result
    else:
        net.apply_to(texts if len(texts) > 1 else texts[0], pipe.unet, True, True)
        net.save_weights(str(file), dtype, {})

    def set_strength(unet, text):
        for group, strength in ((net.unet_loras, unet), (net.text_encoder_loras, text)):
            for module in group:
                module.multiplier = strength

    for module in net.loras:
        module.eval()
    words = " ".join(f"{k}={v}" if v is not True else k for k, v in arguments.items() if k not in ("algo", "conv_alpha"))
    return f"{kind} r{rank} α{alpha} {words}", [file], set_strength


def scoped(text):
    """With the module paths that released files have, and transformers 5 has not."""
    return text if "text_model" in dict(text.named_children()) else torch.nn.ModuleDict(dict(text_model=text))


def network(rank, alpha, texts, unet, arguments):
    return lycoris_kohya.create_network(
        1.0, rank, float(alpha), None, texts if len(texts) > 1 else texts[0], unet, preset="parity", warn_on_unmatched=False, **arguments)


# One factor of each kind by which the change grows in proportion.
FIRST = ("lora_up.weight", "hada_w1_a", "lokr_w1", "lokr_w1_a")


@torch.no_grad()
def randomise_lycoris(net, g, dtype):
    rounded = lambda x: x.to(dtype).float()
    for module in net.loras:
        if isinstance(module, NormModule):
            for p in module.parameters():
                p.data = rounded(torch.randn(p.shape, generator=g) * 0.1)
            continue
        if isinstance(module, DyLoraModule):
            for up, down in zip(module.up_list, module.down_list):
                down.data = rounded(torch.randn(down.shape, generator=g) / down.shape[1] ** 0.5)
                up.data = rounded(torch.randn(up.shape, generator=g) * SIZE / (module.lora_dim ** 0.5 * module.scale))
            continue
        scales = {}
        for name, p in sorted(module.named_parameters()):
            if name.endswith("dora_scale"):
                scales[name] = p
            else:
                p.data = torch.randn(p.shape, generator=g)
        if scales:
            change = plain_change(module)
        else:
            change = module.get_diff_weight()[0]
        wanted = SIZE * (change[0].numel() ** -0.5)
        for name, p in module.named_parameters():
            if name.removeprefix("module.") in FIRST:
                p.data.mul_(wanted / change.std().clamp_min(1e-12) if change.numel() > 1 else 1.0)
        for name, p in module.named_parameters():
            p.data = rounded(p.data * (0.8 + 0.4 * torch.rand(p.shape, generator=g)) if name in scales else p.data)


def plain_change(module):
    """The change before DoRA's norms."""
    return module.make_weight() * module.scale if hasattr(module, "make_weight") else module.get_weight(module.shape)
