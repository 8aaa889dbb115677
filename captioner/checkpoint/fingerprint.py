"""What a caption depends on beside the picture, in sixteen hexadecimal digits."""

import hashlib
import json

from captioner.compute import Compute
from captioner.config import SamplingConfig
from captioner.model.ensemble import AnyModel
from captioner.vocab import Vocabulary


def fingerprint_of(model: AnyModel, vocabulary: Vocabulary, sampling: SamplingConfig, compute: Compute) -> str:
    """Differs with the model's weights and settings, the words, the sampling, and the device and precision."""
    simple = (str, int, float)
    settings = {
        "encoders": [[one.backbone, one.grid, one.transform.to_json()] for one in model.encoders],
        "decoder": [
            [
                name,
                type(part).__name__,
                {key: value for key, value in vars(part).items() if isinstance(value, simple)},
            ]
            for name, part in model.decoder.named_modules()
        ],
        "vocabulary": vocabulary.fingerprint,
        "sampling": sampling.model_dump(),
        "compute": [compute.device.type, compute.precision],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().contiguous().cpu().numpy().data)
    return digest.hexdigest()[:16]
