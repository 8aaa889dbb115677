"""Networks for inference: batch norms folded into the convolutions before them, activations computed within them.

The same numbers in one pass over memory instead of three, and weights laid out once as oneDNN wants them. Folding is
B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
2018, section 3.2; what follows a matrix product while its result is still in a register is oneDNN's "post-op". Memory
is what MobileNetV2 waits for on a CPU: in bfloat16 it runs some two and a half times as fast.
"""

import copy
from collections import Counter
from functools import lru_cache, partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from captioner.model.packing import Layouts

_POST_OPS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
    nn.Identity: ("none", []),
}
"""Activations -> oneDNN's name and parameters."""


def fused(module: nn.Module) -> nn.Module:
    """A copy of ``module`` for inference. What torch.fx cannot follow stays as it is: of a sequence, single parts."""
    kinds = {type(part) for part in module.modules()}
    if not kinds & _POST_OPS.keys() and not any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds):
        return copy.deepcopy(module)
    from torch.fx.experimental.optimization import fuse

    try:
        return _fuse_convolutions(cast(fx.GraphModule, fuse(copy.deepcopy(module).eval())))
    except Exception:  # Tracing runs the module's own code on stand-ins, which may raise anything.
        if isinstance(module, nn.Sequential):
            return nn.Sequential(*map(fused, module))
        return copy.deepcopy(module)


class FusedConv2d(nn.Module):
    """A convolution and the activation after it, if any, in one operation where oneDNN has it: on CPUs.

    Without an activation too: with one thread, torch's own operator leaves 1x1 convolutions to a slower library.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.activation = activation
        self._layouts = Layouts()

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> what the activation makes of the convolution's."""
        # Exporters write what any runtime knows, and runtimes fuse by themselves.
        if torch.compiler.is_compiling() or images.device.type != "cpu" or not _has_post_ops(images.dtype):
            activated: Tensor = self.activation(self.convolution(images))
            return activated
        packed = self._layouts.get(partial(_pack, images, self.convolution))
        return _activated(images, self.convolution, packed, self.activation)


def _pack(images: Tensor, one: nn.Conv2d) -> Tensor:
    """The weights in oneDNN's layout, which the size of such images (any, C, H, W) decides, too."""
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        one.weight, one.padding, one.stride, one.dilation, one.groups, [1, *images.shape[1:]]
    )
    return packed


def _activated(images: Tensor, one: nn.Conv2d, packed: Tensor, activation: nn.Module) -> Tensor:
    name, parameters = _POST_OPS[type(activation)]
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        images, packed, one.bias, one.padding, one.stride, one.dilation, one.groups, name, parameters, ""
    )
    return result


@lru_cache(maxsize=4)
def _has_post_ops(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor do it: the operators are torch.compile's, and not documented."""
    images, activation = torch.tensor([-2.0, 2.0], dtype=dtype).view(1, 1, 1, 2), nn.ReLU()
    # Without random numbers: what is drawn after it, perhaps by another thread meanwhile, stays what it is.
    one = nn.Conv2d(1, 1, 1, device="meta", dtype=dtype).to_empty(device="cpu")
    for parameter in one.parameters():
        nn.init.ones_(parameter)
    try:
        return torch.equal(_activated(images, one, _pack(images, one), activation), activation(one(images)))
    except (AttributeError, RuntimeError, TypeError):
        return False


def _fuse_convolutions(module: fx.GraphModule) -> fx.GraphModule:
    parts = dict(module.named_modules())
    nodes = list(module.graph.nodes)
    calls = Counter(node.target for node in nodes)
    for node in nodes:
        one = parts.get(str(node.target))
        if not isinstance(one, nn.Conv2d) or calls[node.target] > 1:
            continue
        if one.padding_mode != "zeros" or isinstance(one.padding, str):  # Another operator's work.
            continue
        after = next(iter(node.users))
        activation = nn.ReLU() if after.target is F.relu else parts.get(str(after.target))
        if len(node.users) == 1 and activation is not None and type(activation) in _POST_OPS:
            after.replace_all_uses_with(node)
            module.graph.erase_node(after)
        else:
            activation = nn.Identity()
        module.set_submodule(str(node.target), FusedConv2d(one, activation))
    module.recompile()
    return module
