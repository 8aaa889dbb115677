"""How a picture becomes the encoder's input, as plain numbers that travel with the weights."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ImageTransform:
    """Resize the shorter side, crop the centre, normalise: what torchvision's weights were trained with.

    ``resize`` and ``crop`` are in pixels; ``mean`` and ``std`` are a channel's, for values in [0, 1].
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for checkpoints and fingerprints."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ImageTransform":
        """The inverse of ``to_json``."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
