"""From recordings to a model file: corpus, examples, loop, evaluation."""
