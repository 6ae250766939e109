"""The command line and the web page: input and output only; what is heard is decided in `sssm`."""
