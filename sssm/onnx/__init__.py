"""Models as ONNX: the recurrent step in real arithmetic, and an engine that runs it without torch.

`export.py` writes a file and proves it; `engine.py` reads one, with numpy and onnxruntime alone.
What only one side needs is imported there: an engine loads neither torch nor onnx.
"""
