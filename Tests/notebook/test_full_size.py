"""Stable Diffusion 1.5 in its full size, with random weights: it loads, encodes, draws and trains within the memory that is promised."""
import json
import pathlib
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / ".build/release/loralab"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full-size")
    run = subprocess.run([PROGRAM, "bench", "full-size", "--jobs", "load,clip,unet-forward,train-step", "--checkpoint", "--reps", "1", "--json", "--folder", folder],
                         capture_output=True, text=True, timeout=900)
    yield {report["job"]: report for report in map(json.loads, run.stdout.splitlines())}, run.stderr
    for file in sorted(folder.rglob("*"), reverse=True):        # 2 GB that pytest would keep for three runs
        file.unlink() if file.is_file() else file.rmdir()


def test_every_job_ends(reports):
    assert set(reports[0]) == {"load", "clip", "unet-forward", "train-step"}, reports[1]


def test_loading_takes_no_more_memory_than_the_file(reports):
    load = reports[0]["load"]
    assert load["load_peak_mb"] <= 1.2 * load["weights_mb"]


@pytest.mark.parametrize("job, gigabytes", [("unet-forward", 4.5), ("train-step", 6)])
def test_a_step_at_512_pixels_stays_within_its_memory(reports, job, gigabytes):
    assert reports[0][job]["size"] == 512
    assert reports[0][job]["peak_rss_mb"] < gigabytes * 1000
