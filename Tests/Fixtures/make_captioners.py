"""Fixtures for captioners: BLIP folders as transformers writes them, small taggers of timm's three kinds, prepared pictures.

Weights and pictures are by formula (formula.py), so that mostly tokens and logits are stored. Written to captioners/.
Run: python Tests/Fixtures/make_captioners.py. Needs: torch transformers timm torchvision pillow 13 safetensors.
"""
import collections
import json
import pathlib
import sys
import warnings
import zlib

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

import formula

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
OUT = HERE / "captioners"


def fill(model, gain=lambda key: 1.0):
    for name, parameter in model.named_parameters():
        parameter.data = torch.from_numpy(formula.weight(name, tuple(parameter.shape))) * gain(name)
    return model.eval()


def pixels(key, height, width, channels=3):
    """Bytes by formula: noise, coarse blocks where the key asks for them."""
    return np.minimum(formula.uniform(key, (height, width, channels)) * 256, 255).astype(np.uint8)


# --- BLIP -----------------------------------------------------------------------------------------------------------------

CASES = [dict(), dict(num_beams=3), dict(num_beams=3, prompt=[11, 12, 13]), dict(prompt=[11, 12, 13], min_length=9),
         dict(num_beams=3, length_penalty=1.7, min_length=6), dict(num_beams=5, length_penalty=-0.5), dict(num_beams=2, repetition_penalty=1.2),
         dict(repetition_penalty=1.1, min_length=5, max_length=30)]
SHAPES = {
    "base": (dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64), dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=24, patch_size=8)),
    # Large's shape, scaled down: a wider and deeper picture encoder.
    "large": (dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=80), dict(hidden_size=40, num_hidden_layers=4, num_attention_heads=5, intermediate_size=96, image_size=32, patch_size=8, layer_norm_eps=1e-6)),
}


def blip(name, text, vision):
    config = BlipConfig(text_config=dict(vocab_size=90, max_position_embeddings=40, bos_token_id=88, sep_token_id=3, pad_token_id=0, **text),
                        vision_config=vision)
    # Sharper words than the formula's.
    model = fill(BlipForConditionalGeneration(config), lambda key: 2.0 if "transform.LayerNorm.weight" in key else 1.0)
    side, generations = vision["image_size"], []
    prepare = BlipImageProcessorPil(size={"height": side, "width": side})
    pictures = [Image.fromarray(pixels(f"picture.{i}", 20 + 7 * i, 50 - 5 * i)) for i in range(8)]
    prepared = [prepare(picture, return_tensors="pt").pixel_values for picture in pictures]
    # The end is a word that is often reached in the middle, so that the rules of ends are put to the test.
    rows = [model.generate(x, input_ids=torch.tensor([[1, 3]]), do_sample=False, max_length=16)[0].tolist() for x in prepared]
    config.text_config.sep_token_id = collections.Counter(token for row in rows for token in set(row[5:]) - set(row[:5])).most_common(1)[0][0]
    for case in CASES:
        options = {"max_length": 20} | case
        prompt = options.pop("prompt", [])
        rows = [model.generate(x, input_ids=torch.tensor([[1, *prompt, 3]]), do_sample=False, early_stopping=False, **options)[0].tolist()
                for x in prepared]
        generations.append(dict(options=options, prompt=prompt, rows=rows))
    return dict(config=config.to_dict() | {"architectures": ["BlipForConditionalGeneration"]}, generations=generations)


def blip_folder():
    """What transformers writes today: tokenizer.json and processor_config.json, float16."""
    folder = OUT / "blip"
    tokenizer = BertTokenizer.from_pretrained(HERE / "tokenizers" / "bert")
    tokenizer.add_special_tokens({"bos_token": "[DEC]", "additional_special_tokens": ["[ENC]"]})
    config = BlipConfig(
        text_config=dict(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
                         max_position_embeddings=40, bos_token_id=tokenizer.bos_token_id, sep_token_id=tokenizer.sep_token_id),
        vision_config=dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=16))
    model = fill(BlipForConditionalGeneration(config)).half()
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    model = model.float()
    picture = Image.fromarray(pixels("folder", 41, 67))
    x = BlipImageProcessorPil(size={"height": 32, "width": 32})(picture, return_tensors="pt").pixel_values
    ids = tokenizer("a picture of", return_tensors="pt").input_ids
    row = model.generate(x, input_ids=ids, max_length=16, num_beams=3, do_sample=False)[0]
    print(sorted(p.name for p in folder.iterdir()))
    return dict(ids=row.tolist(), text=tokenizer.decode(row, skip_special_tokens=True))


# --- prepared pictures ----------------------------------------------------------------------------------------------------

SIZES = [(37, 29), (384, 384), (383, 385), (640, 427), (427, 640), (1999, 3), (3, 1999), (1201, 1999), (1999, 1201), (200, 1000), (1, 1), (768, 1536), (500, 500)]


def prepared():
    """CRC-32 of the float32 values as [H, W, C]: bit by bit, without storing them."""
    rows = []
    blip = BlipImageProcessorPil()
    for width, height in SIZES:
        for mode in ("RGB", "RGBA", "L"):
            if mode != "RGB" and width * height > 300_000:
                continue
            data = pixels(f"{mode}.{width}x{height}", height, width, len(mode))
            if min(width, height) > 30:  # even areas and edges, whose overshoots are clipped
                data = np.repeat(np.repeat(data[: (height + 7) // 8, : (width + 7) // 8] // 128 * 255, 8, 0), 8, 1)[:height, :width]
            image = Image.fromarray(np.ascontiguousarray(data[..., 0] if mode == "L" else data), mode)
            x = np.asarray(blip(image)["pixel_values"][0], dtype=np.float32).transpose(1, 2, 0)
            tag = tagger_pixels(image, 448, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).numpy()[0].transpose(1, 2, 0)
            crc = lambda values: zlib.crc32(np.ascontiguousarray(values, dtype="<f4").tobytes())
            rows.append(dict(width=width, height=height, mode=mode, blip=crc(x), tagger=crc(tag)))
    return rows


# --- taggers --------------------------------------------------------------------------------------------------------------


def tagger_pixels(image, side, mean, std):
    """The tagger authors' way: on white, in a white square, timm's transform, blue first."""
    if image.mode == "RGBA":
        board = Image.new("RGBA", image.size, (255, 255, 255))
        board.alpha_composite(image)
        image = board
    image = image.convert("RGB")
    edge = max(image.size)
    board = Image.new("RGB", (edge, edge), (255, 255, 255))
    board.paste(image, ((edge - image.size[0]) // 2, (edge - image.size[1]) // 2))
    transform = create_transform(input_size=(3, side, side), interpolation="bicubic", crop_pct=1.0, crop_mode="center", mean=mean, std=std)
    return transform(board)[[2, 1, 0]].unsqueeze(0)


TAGGERS = {
    "vit": ("vit_base_patch16_224", dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, global_pool="avg", class_token=False)),
    "vit_token": ("vit_tiny_patch16_224", dict(img_size=32, embed_dim=32, depth=2, num_heads=2, init_values=0.1, act_layer="gelu_tanh", qkv_bias=False)),
    "vit_norm": ("vit_small_patch32_384", dict(img_size=[64, 64], embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.5, global_pool="avg", fc_norm=False, no_embed_class=True)),
    "convnext": ("convnext_base", dict(depths=[1, 2, 1, 1], dims=[8, 12, 16, 24])),
    "convnext_variant": ("convnext_tiny.fb_in22k", dict(depths=[1, 1, 2, 1], dims=[8, 8, 12, 16], conv_mlp=True, kernel_sizes=[7, 5, 3, 3], norm_eps=1e-5, act_layer="silu", head_hidden_size=20, ls_init_value=None)),
    "swinv2": ("swinv2_base_window8_256", dict(img_size=56, window_size=7, embed_dim=12, depths=[2, 2, 2], num_heads=[2, 3, 4])),
    "swinv2_odd": ("swinv2_tiny_window8_256", dict(img_size=52, window_size=4, embed_dim=8, depths=[2, 1, 2, 1], num_heads=[1, 2, 2, 4], pretrained_window_sizes=[3, 3, 3, 2], act_layer="gelu_tanh", mlp_ratio=3.0)),
}


def taggers():
    cases = []
    for name, (architecture, arguments) in TAGGERS.items():
        model = fill(timm.create_model(architecture.split(".")[0], pretrained=False, num_classes=9, **arguments))
        side = arguments.get("img_size", 64)
        side = side if isinstance(side, int) else side[0]
        config = dict(architecture=architecture, num_classes=9, num_features=model.num_features, model_args=arguments,
                      pretrained_cfg=dict(input_size=[3, side, side], mean=[0.5, 0.4, 0.6], std=[0.5, 0.3, 0.25], interpolation="bicubic"))
        if "global_pool" in arguments:
            config["global_pool"] = arguments["global_pool"]
        image = Image.fromarray(pixels(name, 45, 61))
        with torch.no_grad():
            logits = model(tagger_pixels(image, side, (0.5, 0.4, 0.6), (0.5, 0.3, 0.25)))[0]
        keys = [(k, v.shape) for k, v in model.state_dict().items()]
        cases.append(dict(name=name, config=config, logits=logits.tolist(), signature=formula.signature(keys)))
        print(name, logits.std().item())
    return cases


def main():
    OUT.mkdir(exist_ok=True)
    parts = {"generations": lambda: {name: blip(name, *shape) for name, shape in SHAPES.items()}, "folder": blip_folder, "prepared": prepared, "taggers": taggers}
    for name in sys.argv[1:] or parts:
        (OUT / f"{name}.json").write_text(json.dumps(parts[name]()) + "\n")


main()
