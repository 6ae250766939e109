"""What feeds the loop."""

import signal

from training.steps import begun


def test_loaders_start_deaf_to_ctrl_c():
    class Loader:
        def __iter__(self):
            return iter([signal.pthread_sigmask(signal.SIG_BLOCK, ())])

    (blocked,) = begun(Loader())
    assert signal.SIGINT in blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
