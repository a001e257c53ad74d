"""`python -m workers.service`: the stream in the background, as the manager starts it."""

import sys

from contimg.common.errors import ContimgError, os_refusal
from contimg.settings import Settings, load
from workers import logs
from workers.service.loop import run_until_stopped
from workers.service.supervisor import Supervisor

try:
    settings = Settings.from_environment()
    logs.configure(settings, load(settings))
    run_until_stopped(Supervisor(settings))
except (ContimgError, OSError) as error:
    reported = os_refusal(error) if isinstance(error, OSError) else error
    sys.stderr.write(f"contimg: {reported}\n")
    sys.exit(reported.exit_code)
