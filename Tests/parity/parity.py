#!/usr/bin/env python3
"""LoRALab against diffusers, peft, lycoris-lora and transformers, on random small models.

    python Tests/parity/parity.py pictures --seed 1 --count 40      base models and samplers
    python Tests/parity/parity.py adapters --seed 1 --count 40      adapter files of others
    python Tests/parity/parity.py lora-out --seed 1 --count 20      LoRAs of ours, read by others
    python Tests/parity/parity.py captions --seed 1 --count 9       BLIP
    python Tests/parity/parity.py training --seed 1 --count 20      steps of AdamW

Each check draws its cases from the seed, prints a line for each and ends with 1 when one failed. `--keep DIR` keeps the inputs of
failing cases, the cells that show them and both pictures; `--reference-only` leaves the kernel out and shows the referee alone.
The executable is .build/release/loralab; --kernel or $LORALAB_KERNEL names another. Nothing is fetched from anywhere.

Verdicts: ok; FAIL; unstable, where the referee's own result moves as much when its denoiser trembles by a rounding error; skipped,
where the referee itself fails.
Needs: torch diffusers transformers peft lycoris-lora scipy jupyter_client pillow safetensors.
"""
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse  # noqa: E402
import importlib  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402

import torch  # noqa: E402

CHECKS = {
    "pictures": "base models and samplers against diffusers",
    "adapters": "adapter files of peft and lycoris-lora against their own libraries",
    "lora-out": "LoRAs trained here, read by diffusers and lycoris-lora",
    "captions": "BLIP's captions against transformers",
    "training": "steps of a LoRA against PyTorch",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checks = parser.add_subparsers(dest="check", required=True)
    modules = {}
    for name, summary in CHECKS.items():
        modules[name] = importlib.import_module(name.replace("-", "_"))
        check = checks.add_parser(name, help=summary, description=modules[name].__doc__)
        check.add_argument("--seed", type=int, default=1, help="what the cases are drawn from")
        check.add_argument("--count", type=int, default=10, help="number of cases")
        check.add_argument("--keep", metavar="DIR", help="keep the inputs of failing cases here")
        check.add_argument("--reference-only", action="store_true", help="without LoRALab")
        check.add_argument("--kernel", metavar="FILE", help="the executable to check")
        modules[name].add_arguments(check)
    options = parser.parse_args()
    quieten()
    torch.set_num_threads(1)

    from kernel import Kernel
    with Kernel(options.kernel) as kernel:
        if not options.reference_only and not kernel.exists:
            sys.exit(f"{kernel.executable} is not there: build it (swift build -c release), or give --reference-only")
        sys.exit(modules[options.check].run(options, kernel))


def quieten():
    """The table is what is to be read."""
    import diffusers
    import transformers
    warnings.filterwarnings("ignore")
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
