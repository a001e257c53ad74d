"""What the manager tells a supervisor, as signals: see `workers.service.running`."""

import signal

STOP_STREAM, START_STREAM, RESTART_STREAM = signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN
