"""One job in PyTorch, as `loralab bench` times the same: Stable Diffusion 1.5 in full size, random weights, float32.

    python Tests/bench/peer.py unet-forward --size 512 --channels-last --compile

Prints one JSON object with the keys of `loralab bench JOB --json`. Needs torch, diffusers, transformers, peft.
"""
import argparse
import json
import os
import resource
import statistics
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

UNET = dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8)       # the rest of SD 1.5 are diffusers' defaults
TINY = dict(sample_size=16, block_out_channels=(64, 128, 256), cross_attention_dim=256, attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",), up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2)
VAE = dict(sample_size=512, block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
           up_block_types=("UpDecoderBlock2D",) * 4)
TARGETS = {"attn": ["to_q", "to_k", "to_v", "to_out.0"],
           "kohya": ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]}


def made(make):
    """A model with small random weights, made without PyTorch's slow initial values."""
    with torch.device("meta"):
        model = make()
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(0, 0.5 / p[0].numel() ** 0.5) if p.ndim > 1 else p.fill_(1.0 if name.endswith("weight") else 0.0)
        for name, b in model.named_buffers():
            if "position_ids" in name:
                b.copy_(torch.arange(b.shape[-1]).expand(b.shape))
    return model.eval()


def prepared(o, model):
    if o.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if o.compile:
        torch._inductor.config.freezing = o.freeze
        model = torch.compile(model)
    return model


def laid_out(o, x):
    return x.contiguous(memory_format=torch.channels_last) if o.channels_last and x.ndim == 4 else x


def unet_forward(o):
    from diffusers import UNet2DConditionModel
    unet = prepared(o, made(lambda: UNet2DConditionModel(**UNET)))
    cells = o.size // 8
    x, t, context = laid_out(o, torch.randn(o.batch, 4, cells, cells)), torch.full((o.batch,), 500), torch.randn(o.batch, 77, 768)
    return torch.no_grad()(lambda: unet(x, t, context, return_dict=False)[0])


def train_step(o, config=UNET):
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig
    unet = made(lambda: UNet2DConditionModel(**config))
    if o.checkpoint:
        unet.enable_gradient_checkpointing()
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=o.rank, lora_alpha=o.rank, target_modules=TARGETS[o.targets]))
    parameters = [p for p in unet.parameters() if p.requires_grad]
    unet = prepared(o, unet.train())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    cells = o.size // 8
    latents, context = torch.randn(o.batch, 4, cells, cells), torch.randn(o.batch, 77, config["cross_attention_dim"])
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)

    def step():
        t, noise = torch.randint(0, 1000, (o.batch,)), torch.randn_like(latents)
        a = alphas[t].view(-1, 1, 1, 1)
        loss = F.mse_loss(unet(laid_out(o, a.sqrt() * latents + (1 - a).sqrt() * noise), t, context, return_dict=False)[0], noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return step


def tiny_train(o):
    o.size = 128
    return train_step(o, TINY)


def vae(o):
    from diffusers import AutoencoderKL
    model = prepared(o, made(lambda: AutoencoderKL(**VAE)))
    pixels, latents = laid_out(o, torch.randn(o.batch, 3, o.size, o.size)), laid_out(o, torch.randn(o.batch, 4, o.size // 8, o.size // 8))
    if o.job == "vae-encode":
        return torch.no_grad()(lambda: model.encode(pixels).latent_dist.mean)
    return torch.no_grad()(lambda: model.decode(latents).sample)


def clip(o):
    from transformers import CLIPTextConfig, CLIPTextModel
    config = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu")
    model = prepared(o, made(lambda: CLIPTextModel(config)))
    ids = torch.randint(0, 49405, (o.batch, 77))
    return torch.no_grad()(lambda: model(ids).last_hidden_state)


def blip(o):
    from transformers import BlipConfig, BlipForConditionalGeneration
    model = prepared(o, BlipForConditionalGeneration(BlipConfig()).eval())
    pixels = torch.randn(o.batch, 3, 384, 384)
    return torch.no_grad()(lambda: model.generate(
        pixel_values=pixels, num_beams=o.beams, do_sample=False, min_new_tokens=o.tokens, max_new_tokens=o.tokens))


JOBS = {"unet-forward": unet_forward, "train-step": train_step, "tiny-train": tiny_train, "vae-encode": vae, "vae-decode": vae, "clip": clip, "blip": blip}


def processor_time():
    """Seconds so far: of the whole machine, of this process, on the wall."""
    with open("/proc/stat") as file:
        v = [int(x) for x in file.readline().split()[1:9]]
    return (v[0] + v[1] + v[2] + v[5] + v[6]) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:2]), time.time()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    for name, value in {"threads": os.cpu_count(), "size": 512, "batch": None, "reps": 5, "warmup": 1, "rank": 8, "beams": 1, "tokens": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--targets", choices=TARGETS, default="attn")
    for name in ("checkpoint", "channels-last", "compile", "freeze"):
        parser.add_argument(f"--{name}", action="store_true")
    o = parser.parse_args()
    o.batch = o.batch or (8 if o.job == "tiny-train" else 1)
    torch.set_num_threads(o.threads)
    step = JOBS[o.job](o)
    for _ in range(o.warmup):
        step()
    before, times = processor_time(), []
    for _ in range(o.reps):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    busy, own, wall = (b - a for a, b in zip(before, processor_time()))
    print(json.dumps({
        "peer": f"pytorch {torch.__version__}", "job": o.job, "size": o.size, "batch": o.batch, "threads": o.threads, "dtype": "fp32", "reps": o.reps,
        "channels_last": o.channels_last, "compile": o.compile, "freeze": o.freeze, "checkpoint": o.checkpoint,
        "median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3), "max_ms": round(max(times), 3),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "cores_used": round(own / wall, 2),
        "other_cores_busy": round(max(0.0, busy - own) / wall, 2)}))


if __name__ == "__main__":
    main()
