"""Operators: a definition (`reference`), a fast form (`parallel`), one public function each."""
