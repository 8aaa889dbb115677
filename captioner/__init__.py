"""Train image-captioning models and use them. ``from captioner import Captioner``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioner.predictor import Captioner as Captioner

__version__ = "0.1.0"
__all__ = ["Captioner", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the public classes on first use, so that ``import captioner`` stays free of torch."""
    if name == "Captioner":
        from captioner.predictor import Captioner

        return Captioner
    raise AttributeError(f"module 'captioner' has no attribute {name!r}")
