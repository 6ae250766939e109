"""The command line: input and output only, nothing of the models."""
