"""Models as ONNX: the recurrent step in real arithmetic, and an engine that runs it without torch.

`export.py` writes a file and proves it; `engine.py` reads one, with numpy and onnxruntime alone.
What only one side needs is imported there: an engine loads neither torch nor onnx.
"""

import os

# Official builds of onnxruntime else report to their maker, and keep a number of this machine in
# its user's cache.  It must be said before onnxruntime is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
