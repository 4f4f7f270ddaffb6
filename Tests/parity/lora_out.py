"""`lora-out`: a LoRA trained and saved by LoRALab, its picture, and the picture of diffusers with that file loaded.

Kohya's names must be read without a warning. LoHa and LoKr, which diffusers does not read, are read by lycoris-lora.
"""
import logging
import pathlib
import random
import tempfile

from safetensors.torch import load_file

import models
from adapters import ldm_table, network, parts_of, scoped
from drawing import NoReference, draw, judge, random_picture, reference, sample_cell
from folders import write_dataset
from kernel import CellError, magic
from report import FAILED, SKIPPED, Report

KINDS = ("lora", "lora", "lora", "locon", "dylora", "loha", "lokr")


def add_arguments(parser):
    parser.add_argument("--family", choices=models.FAMILIES, help="models of this family only")
    parser.add_argument("--network", choices=sorted(set(KINDS)), help="networks of this kind only")


def run(options, kernel):
    columns = {"model": 36, "network": 42, "saved": 6, "sampler": 19, "mean": 7, "max": 4, "note": 0}
    report = Report("lora-out", columns, options.keep)
    r = random.Random(options.seed)
    if options.reference_only:
        print("there is nothing to show without LoRALab, which trains")
        return 0
    for index in range(options.count):
        recipe = models.random_recipe(r.randrange(1 << 30), options.family, single_file=False, plain_noise=True, like_released=True)
        with tempfile.TemporaryDirectory(prefix="parity-model") as folder:
            one(report, kernel, options, r, recipe, pathlib.Path(folder), f"model-{index}")
    return report.finish()


def one(report, kernel, options, r, recipe, folder, name):
    path = models.write(recipe, folder)["folder"]
    write_dataset(r, folder / "pictures", r.randint(1, 4), r.randint(1, 3), [64, 80, 96, 128])
    pipe = models.load(path)
    case = random_picture(r, pipe)
    case["guidance"], case["clip_skip"] = min(case["guidance"], 5), None
    kind, rank = options.network or r.choice(KINDS), r.choice([1, 2, 4, 8])
    arguments = dict(
        steps=3, rank=rank, network=kind, alpha=r.choice([None, 1, rank, 3]), lr=0.05, te_lr=r.choice([None, 0.05, 0.05]), seed=r.randrange(1000),
        targets=r.choice([None, "attention", "transformer"]), train_batch_size=r.choice([1, 2]), conv_dim=2 if kind == "locon" and r.random() < 0.5 else None)
    precision = r.choice(["float", "float", "fp16", "bf16"])
    file = folder / "trained.safetensors"
    cells = [
        magic("model", path), magic("dataset", folder / "pictures", resolution=r.choice([64, 96])), magic("train", fresh=True, **arguments),
        magic("save", file, save_precision=precision)]
    if precision != "float":        # the picture of what the file holds
        cells.append(magic("load", file))
    theirs = ours = None
    try:
        for cell in cells:
            kernel.run(cell)
        ours = draw(kernel, case)
        before = reference(pipe, case)
        warnings = read(pipe, file, kind, arguments)
        theirs = reference(pipe, case)
        verdict, mean, maximum, note = judge(pipe, case, theirs, ours)
        note = f"changes the picture by {abs(theirs.astype(int) - before.astype(int)).mean():.1f} {note}"
        if warnings:
            verdict, note = FAILED, " ".join(warnings)
    except CellError as error:
        verdict, mean, maximum, note = FAILED, "-", "-", str(error)
    except NoReference as error:
        verdict, mean, maximum, note = SKIPPED, "-", "-", str(error)
    label = " ".join([kind, *(f"{k}={v}" for k, v in arguments.items() if k in ("rank", "alpha", "te_lr", "targets", "conv_dim") and v is not None)])
    report.add(verdict, models.describe(recipe), label, precision, case["sampler"], mean, maximum, note=note)
    if verdict == FAILED:
        report.save(name, folder, dict(case, recipe=recipe, arguments=arguments), [*cells, sample_cell(case, "OUT")], dict(ours=ours, theirs=theirs))


def read(pipe, file, kind, arguments):
    """Gives the pipeline the file's adapter; returns what its libraries had to say against it."""
    if kind in ("loha", "lokr"):
        return read_lycoris(pipe, file, kind, arguments)
    with Heard() as heard:
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="a")
    return [line for line in heard.lines if not is_harmless(line, arguments["te_lr"] is not None)]


def is_harmless(line, has_text):
    """No complaint: a part without keys that was not trained; transformers' list of base weights that an adapter's file has not."""
    if line.startswith("No LoRA keys associated to CLIP"):
        return not has_text
    return "LOAD REPORT" in line and "UNEXPECTED" not in line and "MISMATCH" not in line


def read_lycoris(pipe, file, kind, arguments):
    """A network made from the same arguments, which takes the file's weights: lycoris-lora's own reading of files guesses LoKr's
    factors, and fails at some kernels. It knows SDXL's UNet by diffusers' names here, as it is diffusers' UNet that it finds."""
    texts = [scoped(part) for name, part in parts_of(pipe).items() if name != "unet"]
    back = {"lora_unet_" + v.replace(".", "_"): "lora_unet_" + k.replace(".", "_") for k, v in ldm_table(pipe.unet).items()}
    state = {}
    for key, value in load_file(file).items():
        name, ending = key.split(".", 1)
        state[f"{back.get(name, name)}.{ending}"] = value.float()
    rank = arguments["rank"]
    net = network(rank, arguments["alpha"] or rank, texts, pipe.unet, dict(algo=kind))
    net.apply_to(texts if len(texts) > 1 else texts[0], pipe.unet, True, True)
    for module in net.loras:
        module.eval()
    unexpected = net.load_state_dict(state, strict=False).unexpected_keys
    return [f"lycoris-lora does not expect {unexpected[0]}"] if unexpected else []


class Heard(logging.Handler):
    """Keeps what the libraries log while it is open, in place of their own handlers."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines, self.before = [], []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def __enter__(self):
        for name in ("diffusers", "peft", "transformers"):
            logger = logging.getLogger(name)
            self.before.append((logger, logger.level, logger.handlers))
            logger.setLevel(logging.WARNING)
            logger.handlers = [self]
        return self

    def __exit__(self, *_):
        for logger, level, handlers in self.before:
            logger.setLevel(level)
            logger.handlers = handlers
