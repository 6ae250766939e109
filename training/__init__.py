"""From recordings to a model file: corpus, examples, loop, evaluation.

All of it is programs, `python -m training.NAME`: without the extra `train` one line says so.
"""

import sys
from importlib.util import find_spec

from sssm.interrupt import heed_ctrl_c

heed_ctrl_c()  # what is imported next takes seconds
_NEEDS = (
    "torch", "numba", "safetensors", "lightning_fabric", "matplotlib", "pocketsphinx", "scipy",
    "tensorboard", "torchaudio",
)  # fmt: skip

if _missing := [name for name in _NEEDS if find_spec(name) is None]:
    print(f"training needs {_missing[0]}: pip install 'sssm[train]'", file=sys.stderr)
    raise SystemExit(2)
