"""The forward pass of `etastar.train.gpt.GPT` in JAX, on the weights of one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from torch import nn

Weights = dict[str, Array]
HEADS = 2


def weights_of(model: nn.Module) -> Weights:
    return {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}


def normed(w: Weights, name: str, x: Array) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(w: Weights, name: str, x: Array) -> Array:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attended(w: Weights, name: str, x: Array) -> Array:
    batch, steps, width = x.shape
    projected = linear(w, f"{name}.query_key_value", x)
    query, key, value = projected.reshape(batch, steps, 3, HEADS, -1).transpose(2, 0, 3, 1, 4)
    scores = query @ key.swapaxes(-1, -2) / jnp.sqrt(width // HEADS)
    scores = jnp.where(jnp.tril(jnp.ones((steps, steps), bool)), scores, -jnp.inf)
    mixed = jax.nn.softmax(scores) @ value
    return linear(w, f"{name}.attention_out", mixed.transpose(0, 2, 1, 3).reshape(x.shape))


def logits(w: Weights, tokens: Array, layers: int) -> Array:
    x = w["embedding.weight"][tokens] + w["position.weight"][: tokens.shape[1]]
    for number in range(layers):
        name = f"blocks.{number}"
        x = x + attended(w, name, normed(w, f"{name}.attention_norm", x))
        inner = linear(w, f"{name}.mlp_in", normed(w, f"{name}.mlp_norm", x))
        x = x + linear(w, f"{name}.mlp_out", jax.nn.gelu(inner, approximate=False))
    return normed(w, "norm", x) @ w["head.weight"].T


def loss(w: Weights, tokens: Array, targets: Array, layers: int) -> Array:
    chances = jax.nn.log_softmax(logits(w, tokens, layers))
    return -jnp.take_along_axis(chances, targets[..., None], -1).mean()
