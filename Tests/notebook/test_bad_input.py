"""What people get wrong, through a real kernel: each mistake has an error that names it and changes nothing."""
import struct
import zlib

import pytest
from conftest import NOTEBOOKS, text
from PIL import Image

DATA = NOTEBOOKS / "data" / "popsicle"


def png_header(width, height):
    """A PNG that claims a size and ends there."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def picture(path, size=(128, 128)):
    Image.new("RGB", size, "teal").save(path)


def folder(tmp_path, name, fill):
    leaf = tmp_path / name / "1_x"
    leaf.mkdir(parents=True)
    fill(leaf)
    return tmp_path / name


def truncated(leaf):
    picture(leaf / "a.png")
    data = (leaf / "a.png").read_bytes()
    (leaf / "a.png").write_bytes(data[: len(data) // 2])


DATASETS = {
    "nowhere": (None, "does not exist"),
    "empty": (lambda leaf: leaf.rmdir(), "empty"),
    "truncated": (truncated, "cut short"),
    "text": (lambda leaf: (leaf / "a.png").write_text("I am not a picture"), "text file"),
    "dot": (lambda leaf: picture(leaf / "a.png", (1, 1)), "1×1"),
    "huge": (lambda leaf: (leaf / "a.png").write_bytes(png_header(20_000, 20_000)), "20000×20000"),
}


@pytest.fixture
def trained(cells, tmp_path):
    """A kernel with a model, pictures and an adapter of one step; what %status says then."""
    good = folder(tmp_path, "good", lambda leaf: [(picture(leaf / f"{i}.png"), (leaf / f"{i}.txt").write_text(f"a red cube {i}")) for i in range(2)])
    cells.run(f"%model\n%dataset {good}\n%train --steps 1 --rank 2 --batch 1")
    return cells


def state(cells):
    """%status without what changes by itself (memory in use)."""
    return [line for line in text(cells.run("%status")).splitlines() if not line.startswith("engine")]


def says(error):
    return "\n".join([error["evalue"], *error["traceback"]])


def test_every_mistake_is_told_and_changes_nothing(trained, tmp_path):
    before = state(trained)
    for name, (fill, expected) in DATASETS.items():
        path = folder(tmp_path, name, fill) if fill else tmp_path / name
        assert expected in says(trained.fails(f"%dataset {path}")), name
        assert state(trained) == before, name

    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + b"{")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for cell, expected in {
        "%train --colour red": "no option --colour",
        "%train --lrr 1e-4": "Did you mean --lr?",
        "%train --rank 0": "from 1 to 1024",
        "%train --lr -1": "above 0",
        "%train --epochs 1e9": "from 1 to 100000",
        "%sample " + "word " * 1000: "4999 characters",
        f"%load {tmp_path / 'broken.safetensors'}": "broken.safetensors",
        f"%save {locked / 'x.safetensors'}": "read-only",
        "%save /proc/x.safetensors": "/proc",
        "%sample red cube --epochs 9": "kept: 1",
        "%model /no/such/folder": "no such folder",
        "%trian": "Did you mean",
    }.items():
        assert expected in says(trained.fails(cell)), cell
        assert state(trained) == before, cell
    assert list(locked.iterdir()) == []


def test_pictures_without_captions_cannot_be_trained_on(cells, tmp_path):
    bare = folder(tmp_path, "bare", lambda leaf: [picture(leaf / f"{i}.png") for i in range(2)])
    assert "no caption" in text(cells.run(f"%model\n%dataset {bare}"))
    assert "caption" in says(cells.fails("%train --steps 1"))


def test_mistakes_stop_the_cell_there(cells):
    outputs = cells.run("%echo one\n%echo --nonsense\n%echo two", allow_error=True)
    assert "one" in text(outputs) and "two" not in text(outputs)
