"""What, beside job and inputs, decides the bits of a training: device, torch, processor and threads."""

import torch


def device_name(device: torch.device) -> str:
    """The kind of device, for the passport: "cpu", or the GPU's model and libraries."""
    if device.type != "cuda":
        return device.type
    model = torch.cuda.get_device_name(device)
    return f"{model}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def environment(device: torch.device) -> dict[str, str | int]:
    """What has to be the same for a training to go on with the same bits."""
    return {
        "device": device_name(device),
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
