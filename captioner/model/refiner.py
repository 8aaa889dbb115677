"""Optional self-attention over the grid, before any decoder: positions learn of each other.

M. Cornia et al., "Meshed-Memory Transformer for Image Captioning", CVPR 2020, arXiv 1912.08226, section 3.1, without
memory slots.
"""

from torch import Tensor, nn

from captioner.model.dropout import Dropout
from captioner.model.multi_head import FeedForward, Layout, SelfAttention, linear


class GridRefiner(nn.Module):
    """Features (B, P, D) -> refined ones (B, P, H)."""

    def __init__(
        self, feature_size: int, width: int, *, layers: int, heads: int, feed_forward_size: int, dropout: float
    ) -> None:
        super().__init__()
        gain = (2 * layers) ** -0.5
        self.image = nn.Sequential(linear(feature_size, width), nn.LayerNorm(width))
        self.attention = nn.ModuleList(SelfAttention(width, heads, gain) for _ in range(layers))
        self.feed_forward = nn.ModuleList(FeedForward(width, feed_forward_size, gain) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, P, D) -> (B, P, H)."""
        layout = Layout(*features.shape[:2])
        x = self.dropout(self.image(features.flatten(0, 1)))
        for attention, feed_forward in zip(self.attention, self.feed_forward, strict=True):
            update, _ = attention(x, layout, causal=False)
            x = x + self.dropout(update)
            x = x + self.dropout(feed_forward(x))
        return layout.lay_out(self.norm(x))
