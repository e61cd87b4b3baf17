"""The devices that can be computed on."""

from __future__ import annotations

import torch

from gradcon_ext._install.build_facts import build_info


def usable_device(device: str | torch.device) -> torch.device:
    """Return a device that this machine has and that the ops have kernels for.

    Raises:
        ValueError: there is no such device, or this build has no kernels for it.
    """
    # Torch knows more devices than there are kernels for, some of which, such as "meta", hold no numbers.
    kinds = ("cpu", "cuda") if build_info().cuda_architectures else ("cpu",)
    try:
        kind = torch.device(device).type
        found = torch.empty(0, device=device).device if kind in kinds else None
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without the device
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device {str(device)!r} is not available: {reason}") from error
    if found is None:
        reason = f"this build of gradcon_ext has kernels for {' and '.join(kinds)} only"
        raise ValueError(f"device {str(device)!r} is not available: {reason}")
    return found
