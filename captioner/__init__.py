"""Train image-captioning models and use them. ``from captioner import Captioner``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioner.data.formats import register_format as register_format
    from captioner.model.backbones import register_backbone as register_backbone
    from captioner.model.build import register_decoder as register_decoder
    from captioner.predictor import Captioner as Captioner

__version__ = "0.1.0"
_PUBLIC = {
    "Captioner": "captioner.predictor",
    "register_backbone": "captioner.model.backbones",
    "register_decoder": "captioner.model.build",
    "register_format": "captioner.data.formats",
}
__all__ = ["Captioner", "__version__", "register_backbone", "register_decoder", "register_format"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that ``import captioner`` stays free of torch."""
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'captioner' has no attribute {name!r}")
