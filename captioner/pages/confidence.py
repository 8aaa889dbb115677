"""What pages that show how sure a model is say of such figures: what they mean, or why they only rank."""

from captioner.calibration import RIGHT, Calibration


def meaning(calibration: Calibration | None, doubt: str) -> str:
    """For a page to say once; ``doubt`` is that of ``captioner.calibration``, or empty."""
    if doubt:
        return f"{doubt[0].upper()}{doubt[1:]}."
    right = calibration.right_from if calibration else RIGHT
    return (
        "Confidence is the probability that a caption is right. Right means close to what people say of the picture "
        f"(its CIDEr against their captions is {right} or more), and not that each of its words is."
    )
