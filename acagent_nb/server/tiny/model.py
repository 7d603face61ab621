"""The model itself, as small as it gets: llama's architecture in torch, laid out as llama.cpp wants the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """The sizes. Every row length is a multiple of 32, the block of Q8_0."""

    vocabulary: int = 1536
    width: int = 160
    layers: int = 5
    heads: int = 5
    inner: int = 448
    rope: float = 10_000.0
    epsilon: float = 1e-5


class Block(nn.Module):
    """Attention and a gated feed-forward layer, each behind a norm and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )
        self.ffn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.inner, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.inner, bias=False)
        self.ffn_down = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """The stream after this block."""
        h = self.attn_norm(x)
        q, k, v = (
            layer(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.attn_q, self.attn_k, self.attn_v)
        )
        h = F.scaled_dot_product_attention(_turned(q, cos, sin), _turned(k, cos, sin), v, is_causal=True)
        x = x + self.attn_output(h.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)
        added: Tensor = self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return x + added


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on neighbouring pairs, llama.cpp's own order: no permutation is needed when the weights are written."""
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Model(nn.Module):
    """Tokens in, the loss on the learned tokens out; the embedding serves as output layer too."""

    def __init__(self, shape: Shape, longest: int) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, shape.epsilon)
        size = shape.width // shape.heads
        angles = torch.outer(torch.arange(longest), shape.rope ** (-torch.arange(0, size, 2) / size))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # What is added to the stream starts smaller, so that its sum over the layers stays of order one.
                last = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if last else 0.02)

    def forward(self, tokens: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean of the loss over the learned tokens: those whose weight is not zero."""
        cos: Any = self.cos
        sin: Any = self.sin
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cos[: tokens.shape[1]], sin[: tokens.shape[1]])
        learned = weights > 0
        # Only the learned places go through the wide output layer: less than half of the tokens.
        logits = F.linear(self.output_norm(x[learned]), self.token_embd.weight)
        losses = F.cross_entropy(logits, targets[learned], reduction="none")
        return (losses * weights[learned]).sum() / weights.sum()
