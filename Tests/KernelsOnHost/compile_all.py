#!/usr/bin/env python3
"""Compiles every kernel for every architecture with NVIDIA's own compiler, which needs no card, and demands that no register is spilled.

    pip install nvidia-cuda-nvrtc==13.0.88        # in a virtual environment: 90 MB
    python Tests/KernelsOnHost/compile_all.py     # a table of registers; 77 when NVRTC is not there
"""
import concurrent.futures
import ctypes
import importlib.util
import os
import pathlib
import re
import sys

KERNELS = pathlib.Path(__file__).resolve().parents[2] / "Sources/CUDADevice/kernels"
ARCHITECTURES = (80, 86, 89, 90, 120)


def find_nvrtc():
    """The library, or None. NVRTC does not find its builtins by itself: they are opened first."""
    package = importlib.util.find_spec("nvidia")
    for place in package.submodule_search_locations if package else []:
        folder = pathlib.Path(place) / "cu13/lib"
        if (folder / "libnvrtc.so.13").exists():
            ctypes.CDLL(str(next(folder.glob("libnvrtc-builtins.so.13.?"))), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(folder / "libnvrtc.so.13"))
    return None


def compiled(nvrtc, file, architecture):
    """The compiler's report on a file behind the prelude. Raises ValueError with its messages if it refuses."""
    text = (KERNELS / "prelude.cuh").read_text() + f'\n#line 1 "{file.name}"\n' + file.read_text()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"prelude.cuh", 0, None, None)
    options = [f"--gpu-architecture=sm_{architecture}".encode(), b"--ptxas-options=--verbose", b"--std=c++17"]
    refused = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if refused:
        raise ValueError(f"{file.name} for sm_{architecture}:\n{log.value.decode()}")
    return log.value.decode()


def kernels_of(report):
    """(name, bytes spilled, registers) of each kernel in a report."""
    found = re.findall(r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads\n.*?Used (\d+) registers", report)
    return [(name, int(stores) + int(loads), int(registers)) for name, stores, loads, registers in found]


def compile_all(nvrtc):
    """{(file, architecture): [(kernel, bytes spilled, registers)]}."""
    jobs = [(file, architecture) for file in sorted(KERNELS.glob("*.cu")) for architecture in ARCHITECTURES]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = pool.map(lambda job: kernels_of(compiled(nvrtc, *job)), jobs)
        return {(file.name, architecture): kernels for (file, architecture), kernels in zip(jobs, reports)}


def main():
    nvrtc = find_nvrtc()
    if not nvrtc:
        print("NVRTC is not installed: pip install nvidia-cuda-nvrtc==13.0.88")
        sys.exit(77)
    results, spilled = compile_all(nvrtc), 0
    for file in sorted({file for file, _ in results}):
        most = [max(registers for _, _, registers in results[file, architecture]) for architecture in ARCHITECTURES]
        print(f"{file:16} {len(results[file, 90]):3} kernels, registers at most", *(f"sm_{a} {m}" for a, m in zip(ARCHITECTURES, most)))
        for architecture in ARCHITECTURES:
            for kernel, lost, _ in results[file, architecture]:
                spilled += lost
                if lost:
                    print(f"    {kernel} for sm_{architecture} spills {lost} bytes")
    print(f"{sum(len(kernels) for kernels in results.values())} kernels compiled, {spilled} bytes spilled")
    sys.exit(spilled > 0)


if __name__ == "__main__":
    main()
