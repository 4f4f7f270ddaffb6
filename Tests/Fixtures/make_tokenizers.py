"""Fixtures for the tokenizers: ids and decoded texts of transformers' CLIPTokenizer and BertTokenizer.

Run: python Tests/Fixtures/make_tokenizers.py
Writes Tests/Fixtures/tokenizers/: captions.txt (a corpus), clip/ (vocabulary learned from it by the plain algorithm below,
which is the referee of BPETrainer), bert/vocab.txt, clip.json, clip-pad.json, bert.json.
"""

import collections
import json
import pathlib
import random
import re

import transformers
from transformers import BertTokenizer, CLIPTokenizer

HERE = pathlib.Path(__file__).parent / "tokenizers"
random.seed(20)

# --- a corpus ---------------------------------------------------------------------------------------------------------

SHAPES = "sphere cube cylinder cone torus pyramid server database cloud shield lock gear".split()
COLOURS = "red,orange,alibaba cloud orange,yellow,green,teal,blue,purple,pink,white".split(",")
TAGS = "isometric view,front view,three-quarter view,studio lighting,soft light,dramatic lighting,white background,dark background".split(",")
SENTENCES = [
    "The artist's pictures don't look alike; they're brought together by one style.",
    "We've trained 3 epochs at 1e-4, I'm told it'll do, and she'd agree.",
    "Café, naïve, Ångström: résumé of a façade.", "一个红色的立方体，等距视图。", "Шар и куб на белом фоне", "hello!! world :)",
]


def caption() -> str:
    tags = random.sample(TAGS, random.randint(0, 4))
    material = random.choice(["", "glossy ", "matte ", "metallic ", "glass "])
    return ", ".join([f"a {material}{random.choice(COLOURS)} {random.choice(SHAPES)}", *tags])


# --- byte pairs, the plain way ------------------------------------------------------------------------------------------


def byte_symbols() -> dict[int, str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(0x100 + len(table) - len(printable))
    return table


def learn(lines: list[str], limit: int) -> list[tuple[str, str]]:
    """Merges of the most frequent pair; of equals, the first in symbol order."""
    table = byte_symbols()
    tokenizer = CLIPTokenizer()
    counts = collections.Counter()
    for line in lines:
        backend = tokenizer.backend_tokenizer
        text = backend.normalizer.normalize_str(line)
        counts.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text))
    # pre_tokenize_str gives the words in byte symbols already.
    assert all(symbol in table.values() for word in counts for symbol in word)
    words = [([*word[:-1], word[-1] + "</w>"], count) for word, count in counts.items()]
    merges = []
    while len(merges) < limit:
        pairs = collections.Counter()
        for symbols, count in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for symbols, _ in words:
            index = 0
            while index + 1 < len(symbols):
                if (symbols[index], symbols[index + 1]) == best:
                    symbols[index : index + 2] = ["".join(best)]
                index += 1
    return merges


def write_clip(folder: pathlib.Path, merges: list[tuple[str, str]], pad: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    symbols = list(byte_symbols().values())
    tokens = [*symbols, *(s + "</w>" for s in symbols), *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("".join(line + "\n" for line in ["#version: 0.2", *map(" ".join, merges)]), encoding="utf-8")
    added = lambda t: {"content": t, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    (folder / "special_tokens_map.json").write_text(json.dumps(
        {"bos_token": added("<|startoftext|>"), "eos_token": added("<|endoftext|>"), "pad_token": pad, "unk_token": added("<|endoftext|>")}))
    typed = lambda t: {"__type": "AddedToken", **added(t)}
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "add_prefix_space": False, "bos_token": typed("<|startoftext|>"), "do_lower_case": True, "eos_token": typed("<|endoftext|>"),
        "errors": "replace", "model_max_length": 77, "pad_token": pad, "tokenizer_class": "CLIPTokenizer", "unk_token": typed("<|endoftext|>")}))


# --- strings of every sort ------------------------------------------------------------------------------------------------

ALPHABETS = [
    "abcdefghij XYZ", "0123456789 .,", "'s't re've'm'll'd ", "!?;:-_()[]{}<>|/\\\"#@$%^&*+=~`", "éàüñçøåÅĲŒß ", "ΑΒΓΣσς ά",
    "абвгд ЁЙё й", "一个红色的立方体，。！？", "日本語カタカナｶﾞがぎ", "한국어 가나다", "🙂🚀👩‍👩‍👧‍👦🏳️‍🌈❤️", "e\u0301a\u0308n\u0303 \u0323\u0307s",
    "İıŞş", "ﬁﬂ½²Ⅷ①٣३", "\t\n\r\x0b\x0c\u00a0\u2003\u3000\u2028 a", "\u200b\u200d\u00ad\ufeffab", "العربية עברית ไทย हिन्दी",
]
WORDS = SHAPES + COLOURS + ["don't", "they're", "I'll", "artist's", "<|startoftext|>", "<|endoftext|>", "<|EndOfText|>", "!", "[MASK]", "[SEP]", "[sep]"]


def string() -> str:
    kind = random.random()
    if kind < 0.35:
        return caption()
    if kind < 0.55:
        return random.choice(["", " ", "  "]).join(random.choice(WORDS) for _ in range(random.randint(1, 6)))
    if kind < 0.8:
        alphabet = random.choice(ALPHABETS)
        return "".join(random.choice(alphabet) for _ in range(random.randint(0, 20)))
    return "".join(random.choice(random.choice(ALPHABETS)) for _ in range(random.randint(1, 24)))


def unambiguous(text: str) -> bool:
    """No unassigned characters: whose Unicode tables know a character is no matter of ours."""
    return all(ord(c) < 0x1F700 for c in text)


def main() -> None:
    HERE.mkdir(exist_ok=True)
    corpus = [caption() for _ in range(300)] + SENTENCES
    (HERE / "captions.txt").write_text("\n".join(corpus) + "\n", encoding="utf-8")
    merges = learn(corpus, 400)
    write_clip(HERE / "clip", merges, "<|endoftext|>")
    write_clip(HERE / "clip-pad", merges, "!")

    strings = ["", " ", "a", "'", "''s", "a" * 300, "ab " * 1000 + "c" * 2000, *SENTENCES] + [string() for _ in range(1990)]
    strings = [s for s in strings if unambiguous(s)]
    for name in ["clip", "clip-pad"]:
        tokenizer = CLIPTokenizer.from_pretrained(HERE / name)
        chosen = strings if name == "clip" else strings[:200]
        rows = []
        for text in chosen:
            ids = tokenizer(text, padding="max_length", truncation=True, max_length=77)["input_ids"]
            rows.append({"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"], "padded": ids[:3] + ids[-3:],
                         "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
        write_rows(name, rows)

    counts = collections.Counter(word for line in corpus for word in re.findall(r"[a-z]+", line.lower()))
    characters = sorted(set("".join(corpus).lower()) - set(" \n")) + ["立", "σ", "й", "カ"]
    characters = list(dict.fromkeys(characters))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + c for c in characters if c.isalpha()),
                  *(w for w, _ in counts.most_common(80) if len(w) > 1), "##ing", "##er", "##metric", "n't", "'s"]
    (HERE / "bert").mkdir(exist_ok=True)
    (HERE / "bert" / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer.from_pretrained(HERE / "bert")
    rows = []
    for text in strings[:6] + [s for s in strings[6:] if len(s) < 500][:1400]:
        ids = tokenizer(text)["input_ids"]
        rows.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    write_rows("bert", rows)
    print("transformers", transformers.__version__)


def write_rows(name: str, rows: list[dict]) -> None:
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (HERE / f"{name}.json").write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    print(name, len(rows))


main()
