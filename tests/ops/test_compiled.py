import subprocess
import sys


def test_loops_compile_where_no_folder_can_be_written_to(tmp_path):
    code = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []  # as where neither package nor home is writable
import torch
from sssm.ops.linear_scan import linear_scan
h, last = linear_scan(torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 1), torch.zeros(1, 1))
print(last.item())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "1.75"
