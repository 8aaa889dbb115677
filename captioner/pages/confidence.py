"""How sure a model is, on pages: in per cent where that is a probability, and else a bare number that ranks."""

from captioner.calibration import RIGHT, Calibration


def shown(confidence: float, doubt: str) -> str:
    """``45 %``; ``0.45`` where there is a ``doubt``, as ``captioner.calibration`` has it."""
    return f"{confidence:.2f}" if doubt else f"{100 * confidence:.0f} %"


def meaning(calibration: Calibration | None, doubt: str) -> str:
    """What a page with such figures says of them, once."""
    if doubt:
        return f"{doubt[0].upper()}{doubt[1:]}."
    right = calibration.right_from if calibration else RIGHT
    return (
        "Confidence is the probability that a caption is right. Right means close to what people say of the picture "
        f"(its CIDEr against their captions is {right} or more), and not that each of its words is."
    )
