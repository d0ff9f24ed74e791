"""ResNet-18 for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["ResNet18"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, width, H / stride, W / stride) of (B, channels, H, W)."""
        return nn.functional.relu(self.body(hidden) + self.shortcut(hidden))


class ResNet18(nn.Module):
    """The 18-layer residual network with a 3x3 stem and no pooling before its blocks.

    Args:
        num_classes: outputs.
        channels: of the images.
        widths: of the four stages; (64, 128, 256, 512) is the usual one, (16, 32, 64, 128) the one of
            the warm-starting experiments.
    """

    def __init__(
        self, num_classes: int = 10, channels: int = 3, widths: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        before = widths[0]
        for number, width in enumerate(widths):
            stages += [BasicBlock(before, width, 1 if number == 0 else 2), BasicBlock(width, width, 1)]
            before = width
        self.features = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of images (B, channels, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits
