"""Fixtures for prompts: weights, rows of 77 ids and weighted states as SD WebUI makes them, rows and states as sd-scripts does.

Neither is a library that could be called, so their rules are written out here, the plain way, over transformers' tokenizer
and encoder. Run: python Tests/Fixtures/make_text.py. Writes Tests/Fixtures/text/ beside itself.
Needs: torch transformers safetensors.
"""
import json
import pathlib
import random
import re

import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import formula

HERE = pathlib.Path(__file__).parent
OUT = HERE / "text"
LENGTH, ROOM, REACH = 77, 75, 20
random.seed(31)

# --- SD WebUI's weights ---------------------------------------------------------------------------------------------------

TOKEN = re.compile(r"\\[()\[\]\\]|\\|[(\[\])]|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|[^\\()\[\]:]+|:")


def segments(prompt):
    found, opened = [], {"(": [], "[": []}

    def multiply(start, factor):
        for item in found[start:]:
            item[1] *= factor

    for match in TOKEN.finditer(prompt):
        text, weight = match[0], match["weight"]
        if text[0] == "\\":
            found.append([text[1:], 1.0])
        elif text in opened:
            opened[text].append(len(found))
        elif weight is not None and opened["("]:
            multiply(opened["("].pop(), float(weight))
        elif text == ")" and opened["("]:
            multiply(opened["("].pop(), 1.1)
        elif text == "]" and opened["["]:
            multiply(opened["["].pop(), 1 / 1.1)
        else:
            for number, part in enumerate(re.split(r"\s*\bBREAK\b\s*", text)):
                if number:
                    found.append(["BREAK", -1])
                found.append([part, 1.0])
    for bracket, factor in (("(", 1.1), ("[", 1 / 1.1)):
        for start in opened[bracket]:
            multiply(start, factor)
    result = []
    for text, weight in found or [["", 1.0]]:
        if result and result[-1][1] == weight:
            result[-1][0] += text
        else:
            result.append([text, weight])
    return result


def webui_rows(prompt, tokenizer):
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    comma = tokenizer.get_vocab()[",</w>"]
    rows, row, last_comma = [], [], -1

    def finish():
        nonlocal row, last_comma
        full = [(start, 1.0)] + row + [(end, 1.0)] * (ROOM - len(row) + 1)
        ids = [i for i, _ in full]
        first = ids.index(end) + 1 if pad != end else LENGTH
        rows.append([ids[:first] + [pad] * (LENGTH - first), [w for _, w in full]])
        row, last_comma = [], -1

    for text, weight in segments(prompt):
        if text == "BREAK" and weight == -1:
            finish()
            continue
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
            if token == comma:
                last_comma = len(row)
            elif len(row) == ROOM and last_comma != -1 and len(row) - last_comma <= REACH:
                kept, row = row[last_comma + 1:], row[:last_comma + 1]
                finish()
                row = kept
            if len(row) == ROOM:
                finish()
            row.append((token, weight))
    if row or not rows:
        finish()
    return rows


# --- sd-scripts' rows -----------------------------------------------------------------------------------------------------


def kohya_rows(prompt, tokenizer, maximum):
    ids = tokenizer(prompt, padding="max_length", truncation=True, max_length=maximum + 2)["input_ids"]
    if maximum == ROOM:
        return [ids]
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = []
    for at in range(1, maximum, ROOM):
        row = [ids[0], *ids[at:at + ROOM], ids[-1]]
        if pad != end:
            if row[-2] not in (end, pad):
                row[-1] = end
            if row[1] == pad:
                row[1] = end
        rows.append(row)
    return rows


# --- prompts --------------------------------------------------------------------------------------------------------------

FIXED = [
    "", " ", "a cat", "a (red) cube", "a ((red)) cube", "a [red] cube", "(a:1.5)", "(a: 1.5 )", "(a:-0.5) b", "(a:.5)", "(a:1.)", "a (b", "a [b (c",
    "a) b", "a] b", "a:1.2) b", r"\(a\) \[b\] \\ \c", "((a:1.2):1.3)", "(a [b) c]", "a BREAK b", "BREAK", "a BREAK", "a BREAK BREAK b",
    "aBREAK b", "a,BREAK,b", "(a BREAK b:1.2)", "a\nBREAK\nb", "((((((((((deep))))))))))", "[[[[[[deep]]]]]]", "(a)(b)", "(a)[b]", "[(a)]",
    "(:1.2)", "()", "[]", "(((a))", "a (b:1.1) (c:1.1)", "masterpiece, (best quality:1.2), [lowres:0.5]", "(立方体:1.3)，红色", "a : b", "a :) b",
    "(a:1.2", "x:y:z", "(x:y:1.4)", "<|endoftext|> (cube:1.2)", "cube, " * 40, "red cube " * 60, ("blue sphere, " * 24) + "(glossy:1.3) " * 20,
    "white " * 70 + ", " + "cube " * 30, "white " * 75 + ", cube", "white " * 54 + ", " + "cube " * 25, "white " * 55 + ", " + "cube " * 25,
    "sphere BREAK " * 4 + "cube", "red " * 75, "red " * 76, "red " * 150 + "cube", "(red cube, isometric view, " * 30,
]
PIECES = list("()[]:,\\ab ") + ["(", ")", "[", "]", ":1.2)", ": .5 )", ":-1)", " BREAK ", "BREAK", "red", " cube", ", ", "\\(", "\\]", "\n", "_", "1.1", "立", "é"]


def prompts():
    made = list(FIXED)
    for _ in range(500):
        made.append("".join(random.choice(PIECES) for _ in range(random.randint(1, 24))))
    words = ["red", "blue sphere", "cube,", "white background,", "(glossy:1.2)", "[matte]", "((cloud))", "BREAK", ",", "isometric view", "(lock, gear)"]
    for _ in range(60):
        made.append(" ".join(random.choice(words) for _ in range(random.randint(20, 160))))
    return list(dict.fromkeys(made))


def main():
    OUT.mkdir(exist_ok=True)
    tokenizers = {name: CLIPTokenizer.from_pretrained(HERE / "tokenizers" / name) for name in ("clip", "clip-pad")}
    made = prompts()
    # 1.2.3 and a lone point are numbers to the rule and none to float().
    numbers = [p for p in made if all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", m["weight"]) for m in TOKEN.finditer(p) if m["weight"])]
    write("segments", [{"prompt": p, "segments": segments(p)} for p in numbers])
    chosen = [p for p in numbers if p in FIXED] + [p for p in numbers if len(p) > 100 and p not in FIXED][:24]
    rows = [{"prompt": p, "tokenizer": name, "webui": webui_rows(p, tokenizer),
             "kohya": {str(n): kohya_rows(p, tokenizer, n) for n in (75, 150, 225)} if p in FIXED[-14:] else {}}
            for p in chosen for name, tokenizer in tokenizers.items()]
    write("rows", rows)
    states(tokenizers)


def write(name, rows):
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (OUT / f"{name}.json").write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    print(name, len(rows), (OUT / f"{name}.json").stat().st_size)


def states(tokenizers):
    """Weighted states of a small encoder, WebUI's and Kohya's way.

    WebUI's rule divides by the mean of the states, which layer norms keep near zero: rounding is amplified by the states' mean
    magnitude over their mean. That is 38 for this encoder at the worst; with two layers of 16 it was 10⁴, and even
    torch's own float32 ratio was wrong in the fourth digit. The states are computed in float64, for what is wanted is what the
    rule says, not how one library rounds it.
    """
    tokenizer = tokenizers["clip"]
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)).eval().double()
    for name, parameter in model.named_parameters():
        key = name if name.startswith("text_model.") else "text_model." + name
        parameter.data = torch.from_numpy(formula.weight(key, tuple(parameter.shape))).double()
    encode = lambda rows: model(torch.tensor(rows)).last_hidden_state
    tensors = {}
    given = ["a (glossy:1.4) [red] cube, " * 20, "a plain sphere"]
    with torch.no_grad():
        for number, prompt in enumerate(given):
            parts = []
            for ids, weights in webui_rows(prompt, tokenizer):
                z = encode([ids])
                weighted = z * torch.tensor(weights, dtype=z.dtype)[None, :, None]
                parts.append(weighted * (z.mean() / weighted.mean()))
            tensors[f"webui.{number}"] = torch.cat(parts, dim=1)
            for maximum in (75, 150, 225):
                rows = encode(kohya_rows(prompt, tokenizer, maximum))
                joined = torch.cat([rows[:1, :1], *(rows[i:i + 1, 1:-1] for i in range(len(rows))), rows[-1:, -1:]], dim=1)
                tensors[f"kohya.{number}.{maximum}"] = rows if maximum == ROOM else joined
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, OUT / "states.safetensors")
    (OUT / "states.json").write_text(json.dumps({"prompts": given, "config": model.config.to_dict()}, default=str, indent=1) + "\n")


main()
