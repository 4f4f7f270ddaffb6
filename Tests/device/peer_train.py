"""Times diffusers + peft at the shapes of `loralab-bench train-step`: Stable Diffusion 1.5, 512², LoRA of rank 16 on every layer of the
transformers, random weights, bfloat16 with float32 adapters; eager, then torch.compile. A JSON line each into $OUT/peer-train.jsonl."""
import json
import os
import statistics
import time

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from peft import LoraConfig

WARM_UPS, REPEATS = 10, 30
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]
rows = open(os.path.join(os.environ.get("OUT", "."), "peer-train.jsonl"), "w")


def denoiser() -> UNet2DConditionModel:
    with torch.device("cuda"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).to(torch.bfloat16)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=TARGETS))
    for parameter in unet.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return unet


def times(step, repeats: int, warm_ups: int) -> list[float]:
    measured = []
    for i in range(warm_ups + repeats):
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        if i >= warm_ups:
            measured.append((time.perf_counter() - start) * 1e3)
    return measured


def report(job: str, batch: int, mode: str, measured: list[float]) -> None:
    row = {
        "peer": f"diffusers, torch {torch.__version__}", "job": job, "batch": batch, "mode": mode, "median_ms": statistics.median(measured),
        "min_ms": min(measured), "peak_device_mb": torch.cuda.max_memory_allocated() >> 20, "card": torch.cuda.get_device_name(),
    }
    rows.write(json.dumps(row) + "\n")
    rows.flush()
    print(f"PyTorch {mode} {job}, batch {batch}: median {row['median_ms']:.2f} ms, peak {row['peak_device_mb']} MiB", flush=True)


def run(unet, call, mode: str, batch: int) -> None:
    trained = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    x, target = (torch.randn(batch, 4, 64, 64, device="cuda") for _ in range(2))
    context = torch.randn(batch, 77, 768, device="cuda", dtype=torch.bfloat16)
    timesteps = torch.full((batch,), 500, device="cuda")

    def predict():
        with torch.autocast("cuda", torch.bfloat16):
            return call(x, timesteps, context, return_dict=False)[0]

    def step() -> None:
        loss = F.mse_loss(predict().float(), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    torch.cuda.reset_peak_memory_stats()
    report("train-step", batch, mode, times(step, REPEATS, WARM_UPS))
    if batch == 1:
        with torch.no_grad():
            report("unet-forward", batch, mode, times(predict, REPEATS, WARM_UPS))


unet = denoiser()
print(torch.__version__, torch.cuda.get_device_name(), sum(p.numel() for p in unet.parameters() if p.requires_grad), "trained", flush=True)
for batch in (1, 4):
    run(unet, unet, "eager", batch)
compiled = torch.compile(unet)
for batch in (1, 4):
    run(unet, compiled, "compiled", batch)
