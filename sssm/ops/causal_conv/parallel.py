"""The causal convolution of a whole sequence in plain PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_conv_parallel(
    x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.causal_conv.causal_conv`."""
    heard = torch.cat([tail, x], dim=1)
    if x.shape[1] == 0:
        return x.clone(), heard.clone()
    y = F.conv1d(heard.mT, weight[:, None], bias, groups=weight.shape[0]).mT
    return y.contiguous(), heard[:, x.shape[1] :].clone()
