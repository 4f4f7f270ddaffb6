#!/usr/bin/env python3
"""Plants faults in the kernels, one at a time, and says which ones the tests on the processor catch.

    python Tests/KernelsOnHost/plant_faults.py            # every fault of every kind: some hundred, a quarter of an hour on two cores
    python Tests/KernelsOnHost/plant_faults.py --kind barrier attention.cu
    python Tests/KernelsOnHost/plant_faults.py --sample 40

Ends with 1 if a fault was not caught, unless HARMLESS says why it is none. Needs clang++ and ar, and a folder for temporary files.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "Sources"
KERNELS = SOURCES / "CUDADevice/kernels"
FLAGS = ["-std=c++17", "-O1", "-w", "-fsanitize=bounds,alignment", "-fsanitize-trap=bounds,alignment", "-fstrict-flex-arrays=3",
         "-DKERNELS_ON_HOST_ALONE", f"-I{SOURCES}/CCUDA/include", f"-I{SOURCES}/CCompute/include", f"-I{HERE}/include"]

# The cases that run a file's kernels.
CASES = {
    "attention": ["attentions", "attention_gradients"],
    "convert": ["conversions", "fills"],
    "convolution": ["convolving"],
    "diffusion": ["noised_latents", "losses"],
    "elementwise": ["functions", "slopes", "clamping", "operators", "broadcasts", "sums_in_place", "biases", "gated_gelu"],
    "embedding": ["tables"],
    "movement": ["rows_of_slices", "transpositions", "upsampling"],
    "norms": ["layer_norms", "group_norms", "large_group_norms"],
    "optimizers": ["adamw_steps", "clipping"],
    "reductions": ["sums", "largest_values", "many_pieces", "axis_sums"],
    "softmax": ["softmaxes"],
}

# Kinds of faults: what is looked for, and what stands there instead.
KINDS = {
    "barrier": [(r"__sync(threads|warp)\(\);", ";")],
    "exchange": [(r"__shfl_xor_sync\(everyLane, x, step\)", "x"), (r"step = 16", "step = 8")],
    "bound": [(r"(?<=[\w)\]]) < (?=[\w(])", " <= "), (r" >= ", " > "), (r"(?<=[\w)\]]) > (?=[\w(])", " >= ")],
    "start": [(r"(?<=[\w\]]) = 0(?:\.0f)?(?=[;,])", " = 1"), (r" = \{\};", ";"), (r"-infinity\(\)", "0.0f")],
    "index": [(r"(?<=\w)\[([^\[\]{}=]+)\](?=[^({;]*[;,)\]+\-*/ .])", r"[(\1) + 1]")],
    "who": [(r"(threadIdx\.x|lane_index\(\)) == 0", r"\1 == 999"), (r"(lane|warp)_index\(\) > 0", r"\1_index() >= 0")],
    "tail": [(r"count >= W && ", ""), (r" && \(unsigned long long\)p % sizeof\(words<T, W>\) == 0", ""),
             (r"k < count \? ", "true ? "), (r"if \(k < count\) ", ""), (r"if \(k < count && ", "if (")],
    "forgotten": [(r"^\s+(?:clear_rows|keep_rows|leave|put_rows|store<W>)\([^{}]*;", ";"),
                  (r"^\s+(?:ofWarp|mean|rstd|plain|weighted|rows|columns|sums\.first)\[[^{}]*;", ";")],
    "sign": [(r"(?<=[\w)\]]) \+ (?=[\w(])", " - "), (r"(?<=[\w)\]]) - (?=[\w(])", " + "), (r" \+= ", " = ")],
}

# Faults that are none, by file and the line's text: why the results stay right.
HARMLESS = {
    ("norms.cu", "affine<W> f;"): "only lanes beyond the last channel keep what was there, and they are not stored",
    ("reductions.cu", "if (i <= n) take(n - i, i);"): "a run of no elements is read as zeros without touching memory",
    ("optimizers.cu", "if (i > n) return;"): "a run of no elements is read as zeros without touching memory, and written nowhere",
    ("diffusion.cu", "if (j > s.n) continue;"): "a run of no elements is read as zeros without touching memory, and written nowhere",
    ("norms.cu", "__shared__ float ofWarp[(2) + 1][8][warpLanes];"): "more shared memory than is used",
    ("elementwise.cu", "map(n, [=](float v) { v = v <= low ? low : v; return v > high ? high : v; }, y, x); \\"): "the same at the bound itself",
    ("attention.cu", "for (int r = 0; r <= tileRows; r++) if (r < count) y[r * stride + d] = narrow<T>(factor.at[r] * kept[r * width + d]);"):
        "there are never more than four rows",
    ("attention.cu", "if (lse && lane_index() == 0 && r < rows.count) lse[rows.index + r] = total.at[r] >= 0.0f ? largest.at[r] + logf(total.at[r])"
                     " : -infinity();"): "the logarithm of no sum is minus infinity by itself",
    ("elementwise.cu", "if (first + k >= n) { result.at[k] = 1; continue; }"): "what lies beyond the last element is not stored",
}


def planted(text, kinds):
    """Every fault: (kind, line number, the line, the whole text with the fault)."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        code = line.split("//")[0]
        if not code.strip() or code.lstrip().startswith(("#", "enum", "template", "struct")):
            continue
        for kind in kinds:
            for pattern, replacement in KINDS[kind]:
                for match in re.finditer(pattern, code):
                    changed = code[: match.start()] + match.expand(replacement) + code[match.end():]
                    yield kind, number + 1, changed.strip(), "\n".join(lines[:number] + [changed] + lines[number + 1:])


def compile_family(family, kernels, output, optimise="-O1"):
    """One file of kernels behind the prelude, as kernels.cpp has it. Returns the compiler's messages, empty if all is well."""
    files = [f"{HERE}/cuda_on_host.h", f"{kernels}/prelude.cuh", f"{kernels}/{family}.cu"] + [f"{HERE}/quotients.cuh"] * (family == "convert")
    host, *text = [f'#include "{file}"\n' for file in files]
    source = f"{host}namespace {family}_kernels {{\n{''.join(text)}}}\n"
    result = subprocess.run(["clang++", *FLAGS, optimise, "-x", "c++", "-", "-c", "-o", output], input=source, capture_output=True, text=True)
    return result.stderr if result.returncode else ""


class Workshop:
    """Everything compiled once; a fault needs one file compiled anew (all of them, if it is in the prelude)."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        loops = ["clang", "-O2", "-w", f"-I{SOURCES}/CCompute/include", "-c"]
        jobs = [[*loops, str(f), "-o", f"{folder}/cc_{f.stem}.o"] for f in (SOURCES / "CCompute").glob("*.c")]
        jobs += [["clang++", *FLAGS, "-c", str(f), "-o", f"{folder}/{f.stem}.o"] for f in HERE.glob("*.cpp") if f.stem != "kernels"]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda job: subprocess.run(job, check=True), jobs))
            for complaint in pool.map(lambda family: compile_family(family, KERNELS, f"{folder}/kernels_{family}.o"), CASES):
                if complaint:
                    sys.exit(complaint)

    def run(self, objects, cases, name):
        """Links and runs. Returns what the tests say: empty if nothing was wrong."""
        program = self.folder / f"run_{name}"
        rest = [str(o) for o in self.folder.glob("*.o") if o.name not in {pathlib.Path(p).name.replace(f"fault_{name}_", "kernels_") for p in objects}
                and not o.name.startswith("fault_")]
        subprocess.run(["clang++", *rest, *objects, "-lpthread", "-lm", "-o", str(program)], check=True, capture_output=True)
        try:
            result = subprocess.run([str(program), *cases], capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            return "does not end"
        finally:
            program.unlink()
        return "" if result.returncode == 0 else result.stdout.strip() or f"ended with {result.returncode}"

    def judge(self, name, file, text):
        """What the tests say about `text` in place of `file`."""
        kernels = self.folder / f"source_{name}"
        shutil.copytree(KERNELS, kernels)
        (kernels / file).write_text(text)
        families = [file.removesuffix(".cu")] if file.endswith(".cu") else list(CASES)
        objects = []
        try:
            for family in families:
                objects.append(f"{self.folder}/fault_{name}_{family}.o")
                if compile_family(family, kernels, objects[-1], "-O0" if len(families) > 1 else "-O1"):
                    return None
            cases = CASES[families[0]] if len(families) == 1 else []
            return self.run(objects, cases, name)
        finally:
            shutil.rmtree(kernels)
            for o in objects:
                pathlib.Path(o).unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", help="files of kernels; all if none is named")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only faults of this kind")
    parser.add_argument("--sample", type=int, help="only so many, chosen at random")
    options = parser.parse_args()
    files = options.files or ["prelude.cuh"] + [f"{family}.cu" for family in CASES]
    faults = [(file, *fault) for file in files for fault in planted((KERNELS / file).read_text(), options.kind or KINDS)]
    if options.sample:
        faults = random.Random(1).sample(faults, min(options.sample, len(faults)))
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(folder)
        sound = shop.run([], [], "sound")
        if sound:
            sys.exit(f"without a fault: {sound}")
        caught = missed = refused = harmless = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = pool.map(lambda item: shop.judge(item[0], item[1][0], item[1][4]), enumerate(faults))
            for (file, kind, number, line, _), answer in zip(faults, answers):
                if answer is None:
                    refused += 1
                elif answer:
                    caught += 1
                elif (file, line) in HARMLESS:
                    harmless += 1
                else:
                    missed += 1
                    print(f"MISSED {kind} {file}:{number}: {line}", flush=True)
    print(f"{caught} faults caught, {missed} missed; {harmless} were none, {refused} did not compile")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
