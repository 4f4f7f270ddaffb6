"""`captions`: random small BLIP models; transformers' captions of random pictures against those of `%caption --captioner`."""
import json
import pathlib
import random
import shutil
import tempfile

import torch
from PIL import Image
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from folders import random_image
from kernel import CellError, magic
from models import FIXTURES
from report import FAILED, PASSED, REFERENCE, Report

PROMPTS = [None, None, "a picture of ", "a photography of", "a red", "A glossy CUBE,"]


def add_arguments(parser):
    parser.add_argument("--pictures", type=int, default=50, help="pictures a case")


def run(options, kernel):
    columns = {"model": 34, "search": 42, "same": 8, "note": 0}
    report = Report("captions", columns, options.keep)
    r = random.Random(options.seed)
    for index in range(options.count):
        with tempfile.TemporaryDirectory(prefix="parity-blip") as folder:
            one(report, kernel, options, r, pathlib.Path(folder), index)
    return report.finish()


def one(report, kernel, options, r, folder, index):
    label, model, processor = write_blip(r, folder / "blip")
    pictures = folder / "pictures" / "1_style"
    pictures.mkdir(parents=True)
    for i in range(options.pictures):
        image = random_image(r, r.randint(16, 300), r.randint(16, 300))
        mode = r.choice(["RGB", "RGB", "L", "RGBA"])
        if mode == "RGBA":
            image.putalpha(random_image(r, *image.size).convert("L"))
        image.convert(mode).save(pictures / f"{i:02}.png")
    search = dict(num_beams=[1, 3, r.choice([2, 5])][index % 3], min_length=r.choice([0, 5, 8]), max_length=r.choice([12, 20, 30]),
                  repetition_penalty=r.choice([None, None, 1.2]), prompt=r.choice(PROMPTS))
    if search["prompt"]:
        search["max_length"] += 15
    theirs = {path.name: caption(model, processor, path, search) for path in sorted(pictures.glob("*.png"))}
    words = " ".join(f"{k}={v!r}" for k, v in search.items() if v is not None)
    if options.reference_only:
        different = len(set(theirs.values()))
        report.add(REFERENCE, label, words, f"{different} kinds", note=" | ".join(list(theirs.values())[:3]))
        return
    cells = [magic("dataset", folder / "pictures"), magic("caption", captioner=folder / "blip", overwrite=True, **search)]
    try:
        for cell in cells:
            kernel.run(cell)
    except CellError as error:
        report.add(FAILED, label, words, "-", note=str(error))
        report.save(f"blip-{index}", folder, dict(search=search, theirs=theirs), cells)
        return
    files = {name: (pictures / name).with_suffix(".txt") for name in theirs}
    ours = {name: file.read_text(encoding="utf-8").strip() if file.exists() else "" for name, file in files.items()}    # none for no words
    wrong = [name for name in theirs if ours[name] != theirs[name]]
    note = f"{len(set(theirs.values()))} kinds, such as {next(iter(theirs.values()))!r}"
    if wrong:
        note = f"{wrong[0]}: ours {ours[wrong[0]]!r}, theirs {theirs[wrong[0]]!r}"
    report.add(FAILED if wrong else PASSED, label, words, f"{len(theirs) - len(wrong)} of {len(theirs)}", note=note)
    if wrong:
        report.save(f"blip-{index}", folder, dict(search=search, theirs=theirs, ours=ours), cells)


@torch.no_grad()
def caption(model, processor, path, search):
    """As transformers' own example does it; the prompt is taken off again."""
    prompt = (search["prompt"] or "").strip()
    inputs = processor(Image.open(path), prompt, return_tensors="pt") if prompt else processor(Image.open(path), return_tensors="pt")
    arguments = {k: v for k, v in search.items() if k != "prompt" and v is not None}
    row = model.generate(**{k: v for k, v in inputs.items() if k != "token_type_ids"}, do_sample=False, **arguments)[0]
    start = [model.config.text_config.bos_token_id, *processor.tokenizer(prompt, add_special_tokens=False).input_ids]
    text = processor.decode(row, skip_special_tokens=True)
    return text[len(processor.decode(start, skip_special_tokens=True)):].strip()


def write_blip(r, folder):
    """A random BLIP in transformers' layout of today or of BLIP's release. Returns a label and what the files hold, in float32."""
    tokenizer = BertTokenizer.from_pretrained(FIXTURES / "tokenizers" / "bert")
    tokenizer.add_special_tokens({"bos_token": "[DEC]", "additional_special_tokens": ["[ENC]"]})
    heads, patch = r.choice([1, 2, 4]), r.choice([8, 16])
    width, vision = heads * r.choice([8, 16]), r.choice([1, 2, 3]) * 16
    side = patch * r.choice([2, 3, 4])
    text_config = dict(
        vocab_size=len(tokenizer), hidden_size=width, encoder_hidden_size=vision, num_hidden_layers=r.randint(1, 3), num_attention_heads=heads,
        intermediate_size=2 * width, max_position_embeddings=64, bos_token_id=tokenizer.bos_token_id, sep_token_id=tokenizer.sep_token_id,
        eos_token_id=tokenizer.sep_token_id, pad_token_id=tokenizer.pad_token_id)
    vision_config = dict(hidden_size=vision, num_hidden_layers=r.randint(1, 3), num_attention_heads=r.choice([1, 2]), intermediate_size=2 * vision,
                         image_size=side, patch_size=patch)
    model = BlipForConditionalGeneration(BlipConfig(text_config=text_config, vision_config=vision_config)).eval()
    fill(model, torch.Generator().manual_seed(r.randrange(1 << 30)), tokenizer)
    dtype = r.choice(["float32", "float32", "float16", "bfloat16"])
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    images = BlipImageProcessorPil(size={"height": side, "width": side})
    is_new = r.random() < 0.5
    if is_new:
        BlipProcessor(images, tokenizer).save_pretrained(folder)
    else:
        shutil.copy(FIXTURES / "tokenizers" / "bert" / "vocab.txt", folder)
        config = dict(do_normalize=True, do_resize=True, image_mean=images.image_mean, image_std=images.image_std, resample=3,
                      size=dict(height=side, width=side), image_processor_type="BlipImageProcessor", processor_class="BlipProcessor")
        (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / "tokenizer_config.json").write_text(json.dumps(dict(do_lower_case=True, tokenizer_class="BertTokenizer", model_max_length=512)) + "\n")
    model = BlipForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32).eval()
    layers = [c["num_hidden_layers"] for c in (text_config, vision_config)]
    label = f"{width}x{layers[0]} {vision}x{layers[1]} {side} px {dtype} {'new' if is_new else 'old'} files"
    return label, model, BlipProcessor(images, tokenizer)


@torch.no_grad()
def fill(model, g, tokenizer):
    """Weights by which pictures count, words differ and captions end sooner or later."""
    for name, p in model.named_parameters():
        if p.ndim > 1:
            fan = p[0].numel()
            p.copy_(torch.randn(p.shape, generator=g) / fan ** 0.5 * (2.0 if "crossattention" in name or "position_embeddings" in name else 1.0))
        elif name.endswith("weight"):
            p.copy_(1 + 0.2 * (2 * torch.rand(p.shape, generator=g) - 1))
        else:
            p.copy_(0.1 * (2 * torch.rand(p.shape, generator=g) - 1))
    bias = model.text_decoder.cls.predictions.bias
    bias.add_(torch.randn(bias.shape, generator=g) * 0.5)
    for token in (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id):
        bias[token] -= 4
    bias[tokenizer.sep_token_id] += 1.5
