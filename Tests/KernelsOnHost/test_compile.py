"""NVIDIA's compiler takes every kernel, and no file of kernels is forgotten."""
import pytest

import compile_all
import plant_faults

FILES = sorted(file.name for file in compile_all.KERNELS.glob("*.cu"))


def test_every_kernel_compiles_for_every_card_without_spilled_registers():
    nvrtc = compile_all.find_nvrtc()
    if not nvrtc:
        pytest.skip("NVRTC is not installed (pip install nvidia-cuda-nvrtc==13.0.88)")
    results = compile_all.compile_all(nvrtc)
    assert len(results) == len(FILES) * len(compile_all.ARCHITECTURES)
    assert all(results.values()), "a file without kernels"
    spilled = [(kernel, architecture, lost) for (_, architecture), kernels in results.items() for kernel, lost, _ in kernels if lost]
    assert spilled == []


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_kernels_runs_on_the_processor(file):
    assert f"kernels/{file}" in (plant_faults.HERE / "kernels.cpp").read_text()
    assert file.removesuffix(".cu") in plant_faults.CASES
