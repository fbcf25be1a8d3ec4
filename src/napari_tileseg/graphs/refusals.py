"""Why operations that voxels far away may reach have no rule, in words."""

from __future__ import annotations

_ATTENTION = "its attention weighs all voxels of space"
_SAMPLING = "it samples its feature maps at positions that it computes"
_UNPOOLING = "it puts values back to where a pooling found them (unpooling by indices)"

#: By the name of an operation of torch.
REASONS = {
    "bmm": _ATTENTION,
    "baddbmm": _ATTENTION,
    "matmul": _ATTENTION,
    "scaled_dot_product_attention": _ATTENTION,
    "native_multi_head_attention": _ATTENTION,
    "grid_sampler": _SAMPLING,
    "grid_sampler_2d": _SAMPLING,
    "grid_sampler_3d": _SAMPLING,
    "gather": _SAMPLING,
    "max_pool2d_with_indices": _UNPOOLING,
    "max_pool3d_with_indices": _UNPOOLING,
    "max_unpool2d": _UNPOOLING,
    "max_unpool3d": _UNPOOLING,
    "roll": "it shifts voxels around the border (a circular shift)",
}


def reason_for(name: str) -> str:
    """Return why an operation has no rule, as the end of a sentence."""
    return REASONS.get(name.strip("_"), f"there is no rule for its operation {name}")
