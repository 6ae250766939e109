"""Streaming layers: one contract (`contract.py`), two forms each, `forward` and `step`."""
