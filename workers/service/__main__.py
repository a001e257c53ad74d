"""`python -m workers.service`: the stream in the background, as the manager starts it."""

import sys

from contimg.errors import ContimgError
from contimg.settings import Settings, load
from workers import logs
from workers.service.loop import run_until_stopped
from workers.service.supervisor import Supervisor

try:
    settings = Settings.from_environment()
    logs.configure(settings, load(settings))
    run_until_stopped(Supervisor(settings))
except ContimgError as error:
    sys.stderr.write(f"contimg: {error}\n")
    sys.exit(error.exit_code)
