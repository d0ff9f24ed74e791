"""Small models that tasks build when the user brings none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["MLP", "CausalTransformer", "SmallConvNet"]


class MLP(nn.Module):
    """A multi-layer perceptron with ReLU between its layers and PyTorch's default initialization.

    Args:
        sizes: width of the input, of each hidden layer and of the output; at least two.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (B, sizes[-1]) of inputs (B, ...) that flatten to sizes[0]."""
        outputs: Tensor = self.layers(inputs)
        return outputs


class SmallConvNet(nn.Module):
    """Two 3x3 convolutions with batch norm, ReLU and pooling, an average over places, a linear layer.

    Args:
        channels: of the images.
        num_classes: outputs.
        widths: channels of the two convolutions.
    """

    def __init__(self, channels: int, num_classes: int, widths: tuple[int, int] = (32, 64)) -> None:
        super().__init__()
        first, second = widths
        self.features = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(4 * second, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of images (B, channels, H, W)."""
        logits: Tensor = self.head(self.features(images).flatten(1))
        return logits


class CausalTransformer(nn.Module):
    """A small causal language model: learned positions, pre-norm blocks, output tied to nothing.

    Args:
        vocab_size: number of tokens.
        context: longest sequence.
        width: of the residual stream; a multiple of ``heads``.
        depth: number of blocks.
        heads: attention heads.
    """

    def __init__(
        self, vocab_size: int, context: int, width: int = 64, depth: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(context, width)
        # One by one: nn.TransformerEncoder would start every block from copies of the same weights.
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) of tokens (B, T)."""
        length = tokens.shape[1]
        places = torch.arange(length, device=tokens.device)
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=tokens.device)
        hidden = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            hidden = block(hidden, src_mask=mask, is_causal=True)
        logits: Tensor = self.head(self.norm(hidden))
        return logits
