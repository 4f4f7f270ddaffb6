"""Times PyTorch's operators at the shapes of check.c, in bfloat16, each out of a CUDA graph; results into $OUT/peer.jsonl if set."""
import json
import os

import torch
import torch.nn.functional as F

REPEATS = 20
rows = open(os.path.join(os.environ["OUT"], "peer.jsonl"), "w") if "OUT" in os.environ else None


def microseconds(work) -> float:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            work()
    graph.replay()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3 / REPEATS


def report(name: str, shape: str, operations: float, work) -> None:
    time = microseconds(work)
    print(f"   {name:26} {shape:46} {time:10.1f} µs  {operations / time * 1e-6:.1f} TFLOP/s", flush=True)
    if rows:
        rows.write(json.dumps({"name": name, "shape": shape, "microseconds": time, "operations": operations}) + "\n")


def tensor(*shape: int, grad: bool = False) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16).requires_grad_(grad)


def products() -> None:
    shapes = [(4096, 320, 320), (4096, 2560, 320), (16384, 320, 1280), (77, 320, 768), (4096, 1280, 1280), (4096, 10240, 1280), (4096, 16, 320)]
    for m, n, k in shapes:
        x, w, b = tensor(m, k), tensor(n, k), tensor(n)
        report("linear", f"[{m}, {k}] · [{k}, {n}]", 2 * m * n * k, lambda: F.linear(x, w, b))


def convolutions() -> None:
    shapes = [
        (1, 64, 320, 320, 3, 1), (4, 64, 320, 320, 3, 1), (4, 64, 4, 320, 3, 1), (4, 64, 320, 4, 3, 1), (4, 64, 320, 320, 3, 2),
            (4, 32, 640, 640, 3, 1),
        (4, 32, 1920, 640, 3, 1), (4, 8, 1280, 1280, 3, 1), (4, 32, 320, 640, 1, 1), (1, 256, 256, 256, 3, 1),
    ]
    torch.backends.cudnn.benchmark = True
    for b, side, c, o, kernel, stride in shapes:
        x = tensor(b, c, side, side).to(memory_format=torch.channels_last)
        w = tensor(o, c, kernel, kernel).to(memory_format=torch.channels_last)
        y = F.conv2d(x, w, stride=stride, padding=kernel // 2)
        work, shape = 2 * y.numel() * c * kernel * kernel, f"{b} × {side}² × {c} → {o}, {kernel}×{kernel}, stride {stride}"
        dy = torch.randn_like(y)
        report("convolve", shape, work, lambda: F.conv2d(x, w, stride=stride, padding=kernel // 2))
        for name, mask in (("… backward input", [True, False, False]), ("… backward weight", [False, True, False])):
            report(name, shape, work, lambda: torch.ops.aten.convolution_backward(
                dy, x, w, None, [stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], 1, mask))


def attention() -> None:
    shapes = [
        (1, 4096, 4096, 8, 40), (1, 4096, 77, 8, 40), (4, 4096, 4096, 8, 40), (1, 1024, 1024, 8, 80), (1, 256, 256, 8, 160), (4, 64, 64, 8, 160),
        (1, 4096, 4096, 10, 64), (1, 4096, 77, 10, 64), (1, 1024, 1024, 20, 64),
    ]
    for b, t, s, heads, width in shapes:
        q, k, v = (tensor(b, n, heads, width).transpose(1, 2).requires_grad_() for n in (t, s, s))
        work, shape = 4 * b * t * s * heads * width, f"{b} × {t} queries, {s} keys, {heads} heads of {width}"
        with torch.no_grad():
            report("attention", shape, work, lambda: F.scaled_dot_product_attention(q, k, v))
        dout = torch.randn_like(q)
        report("attention and gradients", shape, 3.5 * work, lambda: torch.autograd.grad(F.scaled_dot_product_attention(q, k, v), (q, k, v), dout))


print(torch.__version__, torch.cuda.get_device_name())
for group in (products, convolutions, attention):
    print(f"── PyTorch: {group.__name__}", flush=True)
    try:
        group()
    except Exception as error:  # one group's fault is not the others'
        print(f"✗ {error}")
