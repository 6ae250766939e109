"""Operators: each has a definition (`reference`), a fast form (`parallel`) and one public function."""
