"""The commands around the kernel, as a shell sees them."""
import json
import os
import pathlib
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / ".build/release/loralab"


def loralab(*arguments, environment=None):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, env=environment)


def test_version_is_one_line():
    assert loralab("--version").stdout.strip() == "LoRALab 0.1.0"


def test_install_into_a_prefix_and_uninstall(tmp_path):
    done = loralab("install", "--prefix", str(tmp_path), "--name", "other", "--display-name", "Other name")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "share/jupyter/kernels/other"
    specification = json.loads((folder / "kernel.json").read_text())
    assert specification["argv"][1:] == ["kernel", "--connection-file", "{connection_file}"]
    assert pathlib.Path(specification["argv"][0]).resolve() == PROGRAM.resolve()
    assert specification["display_name"] == "Other name"
    assert (specification["language"], specification["interrupt_mode"]) == ("swift", "message")
    assert {p.name for p in folder.iterdir()} == {"kernel.json", "logo-svg.svg", "logo-32x32.png", "logo-64x64.png"}
    assert loralab("uninstall", "--prefix", str(tmp_path), "--name", "other").returncode == 0
    assert not folder.exists()


def test_install_over_an_older_one_leaves_nothing_behind(tmp_path):
    for _ in range(2):
        assert loralab("install", "--prefix", str(tmp_path)).returncode == 0
    assert [p.name for p in (tmp_path / "share/jupyter/kernels").iterdir()] == ["loralab"]


def test_user_install_follows_jupyter_data_dir(tmp_path):
    done = loralab("install", environment={"JUPYTER_DATA_DIR": str(tmp_path), "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kernels/loralab/kernel.json").exists()


def test_bad_names_and_places_are_told(tmp_path):
    for name in ("a/b", "..", "", "ä"):
        done = loralab("install", "--prefix", str(tmp_path), "--name", name)
        assert done.returncode != 0 and "cannot name a kernel" in done.stderr
    assert list(tmp_path.iterdir()) == []
    two = loralab("install", "--user", "--prefix", str(tmp_path))
    assert two.returncode != 0 and "Give one of" in two.stderr
    none = loralab("uninstall", "--prefix", str(tmp_path))
    assert none.returncode != 0 and "No kernel 'loralab'" in none.stderr
    blocked = tmp_path / "file"
    blocked.write_text("")
    over = loralab("install", "--prefix", str(blocked))
    assert over.returncode != 0 and "could not be written" in over.stderr


def test_a_vocabulary_is_made_of_the_published_list_and_kept(tmp_path):
    published = tmp_path / "list.txt"
    published.write_text("\n".join(["#version: 0.2"] + [f"{chr(0x4E00 + n // 200)} {chr(0x4E00 + n % 200)}" for n in range(60_000)]))
    environment = {"XDG_DATA_HOME": str(tmp_path), "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    done = loralab("fetch-vocabulary", "--from", str(published), environment=environment)
    assert done.returncode == 0, done.stderr
    ids = json.loads((tmp_path / "loralab/clip/vocab.json").read_text())
    assert ids["!"] == 0 and ids["<|startoftext|>"] == 49406 and ids["<|endoftext|>"] == 49407
    assert len((tmp_path / "loralab/clip/merges.txt").read_text().splitlines()) == 48_895
    published.write_text("too short")
    again = loralab("fetch-vocabulary", "--from", str(published), "--force", environment=environment)
    assert again.returncode != 0 and "list of byte-pair merges" in again.stderr


def test_doctor_names_the_machine():
    said = loralab("doctor").stdout
    for word in ("program", "cores", "memory", "processor", "loops", "kernelspec"):
        assert any(line.startswith(word) for line in said.splitlines()), said


@pytest.mark.parametrize("name, said, complaint", [
    ("generic", "generic, as LORALAB_ISA says", ""),
    ("", "the widest that this processor has", ""),
    ("mmx", "the widest that this processor has; it has no LORALAB_ISA=mmx", "LORALAB_ISA=mmx: this machine has "),
])
def test_the_environment_chooses_the_instruction_set(name, said, complaint):
    done = loralab("doctor", environment={**os.environ, "LORALAB_ISA": name})
    line, = (line for line in done.stdout.splitlines() if line.startswith("loops"))
    assert done.returncode == 0 and line.endswith(said)
    assert done.stderr.startswith(complaint) and bool(done.stderr) == bool(complaint)
    if complaint:
        named = done.stderr.removeprefix(complaint).partition(";")[0].split(", ")
        assert named[-1] == "generic" and named[0] == line.split()[1].rstrip(",")
