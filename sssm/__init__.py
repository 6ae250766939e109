"""Streaming state-space models that spot keywords in raw audio.

The public names are resolved on first use, so `import sssm` alone loads no torch.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sssm.model import KeywordModel
    from sssm.spotter import KeywordSpotter
    from sssm.weights import find_model, load_model

__version__: str

__all__ = ["KeywordModel", "KeywordSpotter", "find_model", "load_model"]
if not TYPE_CHECKING and find_spec("torch") is None:
    __all__.remove("KeywordModel")  # with which `from sssm import *` and `help(sssm)` would fail

_HOME = {
    "KeywordModel": "sssm.model",
    "KeywordSpotter": "sssm.spotter",
    "find_model": "sssm.weights",
    "load_model": "sssm.weights",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: object = version("sssm")
        except PackageNotFoundError:  # a checkout that is not installed
            raise AttributeError("sssm is not installed, so it has no version") from None
    elif name in _HOME:
        from importlib import import_module

        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'sssm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
