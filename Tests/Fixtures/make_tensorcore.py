#!/usr/bin/env python3
"""PyTorch's value and gradients of every op: tensorcore/ops.safetensors, read by FixtureTests.swift.

Keys: CASE/input0 …, CASE/output, CASE/seed (the gradient of the output), CASE/gradient0 … Pictures are stored [B, H, W, C] and
convolution weights [Cout, Cin, kH, kW], as the engine holds them. Computed in float64, stored as float32.
Needs torch and safetensors. Run: python3 Tests/Fixtures/make_tensorcore.py
"""
import os
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(20)
tensors = {}


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64)


def record(name, inputs, function):
    leaves = [x.float().double().requires_grad_() for x in inputs]
    output = function(*leaves)
    seed = normal(*output.shape).float().double()
    output.backward(seed)
    for i, leaf in enumerate(leaves):
        tensors[f"{name}/input{i}"] = leaf.detach()
        tensors[f"{name}/gradient{i}"] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    tensors[f"{name}/output"] = output.detach()
    tensors[f"{name}/seed"] = seed


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def conv(stride, padding):
    """padding: top, left, bottom, right."""
    top, left, bottom, right = padding

    def apply(x, w, b):
        return nhwc(F.conv2d(F.pad(nchw(x), (left, right, top, bottom)), w, b, stride=stride))
    return apply


def group_norm(groups, silu):
    def apply(x, scale, shift):
        y = nhwc(F.group_norm(nchw(x), groups, scale, shift, eps=1e-5))
        return F.silu(y) if silu else y
    return apply


def attention(heads, allowed=None):
    """allowed: a function of B, T and S to a Boolean mask [B, 1, T, S]."""
    def apply(q, k, v):
        def split(x):
            return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
        mask = None if allowed is None else allowed(q.shape[0], q.shape[1], k.shape[1])
        y = F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=mask)
        return y.transpose(1, 2).reshape(q.shape)
    return apply


def causal(offset):
    return lambda b, t, s: torch.ones(t, s, dtype=torch.bool).tril(offset).expand(b, 1, t, s)


def lengths(values):
    return lambda b, t, s: (torch.arange(s) < torch.tensor(values).view(b, 1, 1, 1)).expand(b, 1, t, s)


for name, f in dict(exp=torch.exp, square=torch.square, absolute=torch.abs, sigmoid=torch.sigmoid, tanh=torch.tanh, silu=F.silu, relu=F.relu,
                    gelu=F.gelu, geluTanh=lambda x: F.gelu(x, approximate="tanh"), geluQuick=lambda x: x * torch.sigmoid(1.702 * x),
                    clamped=lambda x: x.clamp(-0.5, 1)).items():
    record(name, [normal(3, 41) * 2], f)
record("log", [normal(3, 41).abs() + 0.1], torch.log)
record("sqrt", [normal(3, 41).abs() + 0.1], torch.sqrt)
record("softmax", [normal(5, 77) * 3], lambda x: x.softmax(-1))
record("logSoftmax", [normal(5, 77) * 3], lambda x: x.log_softmax(-1))
record("geglu", [normal(2, 3, 46)], lambda x: x.chunk(2, -1)[0] * F.gelu(x.chunk(2, -1)[1]))
for name, f in dict(add=torch.add, subtract=torch.sub, multiply=torch.mul).items():
    record(name, [normal(2, 3, 4, 5), normal(2, 1, 1, 5)], f)
record("divide", [normal(2, 1, 4, 5), normal(3, 1, 5).abs() + 0.5], torch.div)
record("sumAxis", [normal(3, 5, 7)], lambda x: x.sum(1))
record("meanAxis", [normal(3, 5, 7)], lambda x: x.mean(-1, keepdim=True))
record("matmul", [normal(2, 3, 17, 19), normal(19, 23)], torch.matmul)
record("matmulTransposed", [normal(2, 17, 19), normal(23, 19)], lambda a, b: a @ b.T)
record("matmulBatched", [normal(2, 3, 7, 11), normal(2, 3, 11, 5)], torch.matmul)
record("matmulBatchedTransposed", [normal(3, 7, 11), normal(3, 5, 11)], lambda a, b: a @ b.transpose(1, 2))
record("linear", [normal(3, 5, 33), normal(21, 33), normal(21)], F.linear)
record("conv3x3", [normal(2, 9, 7, 6), normal(11, 6, 3, 3), normal(11)], conv(1, (1, 1, 1, 1)))
record("conv3x3Wide", [normal(1, 16, 16, 16), normal(24, 16, 3, 3) * 0.1, normal(24)], conv(1, (1, 1, 1, 1)))
record("conv3x3Stride2", [normal(2, 8, 10, 5), normal(7, 5, 3, 3), normal(7)], conv(2, (1, 1, 1, 1)))
record("conv3x3Stride2Asymmetric", [normal(1, 8, 10, 5), normal(7, 5, 3, 3), normal(7)], conv(2, (0, 0, 1, 1)))
record("conv1x1", [normal(2, 5, 6, 9), normal(13, 9, 1, 1), normal(13)], conv(1, (0, 0, 0, 0)))
record("conv4x4Stride4", [normal(2, 12, 8, 3), normal(10, 3, 4, 4), normal(10)], conv(4, (0, 0, 0, 0)))
record("conv5x3", [normal(1, 7, 6, 4), normal(5, 4, 5, 3), normal(5)], conv(1, (2, 0, 1, 2)))
record("groupNorm", [normal(2, 5, 4, 24) * 2 + 1, normal(24), normal(24)], group_norm(8, False))
record("groupNormSiLU", [normal(2, 5, 4, 24) * 2 + 1, normal(24), normal(24)], group_norm(4, True))
record("layerNorm", [normal(3, 5, 40) * 2 + 1, normal(40), normal(40)], lambda x, s, t: F.layer_norm(x, (40,), s, t, eps=1e-5))
record("attention", [normal(2, 19, 24), normal(2, 13, 24), normal(2, 13, 24)], attention(3))
record("attentionCausal", [normal(2, 19, 24), normal(2, 19, 24), normal(2, 19, 24)], attention(3, causal(0)))
record("attentionOffset", [normal(1, 5, 24), normal(1, 12, 24), normal(1, 12, 24)], attention(3, causal(7)))
record("attentionLengths", [normal(2, 9, 24), normal(2, 13, 24), normal(2, 13, 24)], attention(3, lengths([13, 4])))
record("attentionLong", [normal(1, 130, 16), normal(1, 150, 16), normal(1, 150, 16)], attention(2))
record("upsampledNearest", [normal(2, 3, 4, 5)], lambda x: nhwc(F.interpolate(nchw(x), scale_factor=2, mode="nearest")))
record("embedding", [normal(7, 6)], lambda t: F.embedding(torch.tensor([[3, 0, 3], [6, 1, 3]]), t))
record("transposed", [normal(2, 3, 4, 5)], lambda x: x.permute(0, 2, 3, 1))
record("meanSquaredError", [normal(4, 9), normal(4, 9)], F.mse_loss)
record("crossEntropy", [normal(4, 9)], lambda x: F.cross_entropy(x, torch.tensor([8, -100, 0, 3])))
record("crossEntropySmoothed", [normal(4, 9)], lambda x: F.cross_entropy(x, torch.tensor([8, -100, 0, 3]), label_smoothing=0.1))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorcore", "ops.safetensors")
os.makedirs(os.path.dirname(path), exist_ok=True)
save_file({key: value.float().contiguous().clone() for key, value in sorted(tensors.items())}, path, metadata={"made_with": "torch " + torch.__version__})
print(f"{len(tensors)} tensors, {os.path.getsize(path)} bytes")
