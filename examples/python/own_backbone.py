"""An encoder of one's own in one file: four convolutions, trained along with the decoder. It takes all commands.

python own_backbone.py train --config examples/shapes.yaml --set encoder.backbone=four-convolutions --run runs/four
"""

from itertools import pairwise

from torch import nn

from captioner import register_backbone
from captioner.cli.app import main
from captioner.transform import ImageTransform


def build() -> nn.Module:
    """Its children, one after the other, are the stages: (B, 3, height, width) -> (B, 128, height / 16, width / 16)."""
    sizes = (3, 16, 32, 64, 128)
    return nn.Sequential(
        *(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in pairwise(sizes)
        )
    )


register_backbone("four-convolutions", build, ImageTransform(96, 96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)))

if __name__ == "__main__":
    main()
