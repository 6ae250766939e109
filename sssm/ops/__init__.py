"""Operators, one public function each: a definition (`reference`) and fast forms.

`parallel` is for any device, where nothing else is said; `scan` is compiled for a CPU, and `kernel`
is for a GPU.
"""
