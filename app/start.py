"""Where the command `sssm` starts: Ctrl-C is heeded before anything else is imported."""

from sssm.interrupt import heed_ctrl_c


def main() -> None:
    """Run the command line and leave with its exit code."""
    heed_ctrl_c()
    from app import cli

    cli.main()
