"""What a failing node says, in the words that torch, its backends and the system use."""

from __future__ import annotations

from collections.abc import Mapping

Words = tuple[str, str]
"""An exception's full type name and its message."""

OUT_OF_MEMORY = "torch.OutOfMemoryError"

_ILLEGAL_ACCESS = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below "
    "might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
TROUBLES: Mapping[str, Words] = {
    "cuda": ("torch.AcceleratorError", _ILLEGAL_ACCESS),
    "cuda, older": ("RuntimeError", _ILLEGAL_ACCESS),
    "disk full": ("OSError", "[Errno 28] No space left on device"),
    "broken install": ("ModuleNotFoundError", "No module named 'gguf'"),
    "paging file": (
        "OSError",
        "The paging file is too small for this operation to complete. (os error 1455)",
    ),
}
"""What `Faults.fail_with` names."""
CURED_BY_RESTART = frozenset({"cuda", "cuda, older"})
"""A CUDA context that has seen an illegal access answers nothing else until its process ends."""
LACKS_OF_MEMORY: Mapping[str, Words] = {
    "torch": (
        OUT_OF_MEMORY,
        "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
        "Requested               : 3.00 GiB",
    ),
    "directml": (
        "RuntimeError",
        "Could not allocate tensor with 1073741824 bytes. There is not enough GPU video memory available!",
    ),
    "cublas": (
        "RuntimeError",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ),
    "cudnn": ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "xpu": (
        "RuntimeError",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
    ),
    "numpy": (
        "numpy._core._exceptions._ArrayMemoryError",
        "Unable to allocate 1.50 GiB for an array with shape (1, 8192, 8192, 3) and data type float64",
    ),
}
"""What `Faults.oom_words` names."""
