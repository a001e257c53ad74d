"""The supervisor: broker, producer, workers and panel as children of one process that keeps them running.

Nothing survives it: each child is in a session of its own and the kernel kills it when the supervisor dies.

    supervisor = Supervisor(settings, extras, environ)
    supervisor.start()
    while ...: supervisor.tick()
    supervisor.stop()
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import ContimgError, Misconfigured
from contimg.settings import Settings, StreamingConfig, load
from contimg.store import Store
from workers.broker import EmbeddedBroker, check_answers, server_program
from workers.execution.processes import ProcessName
from workers.execution.recovery import release_leases_of_dead_processes
from workers.service.child import Child, ChildPlan
from workers.service.plan import Extras, check_ports, extra_plans, stream_plans
from workers.service.records import RECORD_EVERY_S, Claim, ServiceRecord, remove_record, write_record
from workers.service.usage import Usage

log = logging.getLogger(__name__)
# Longer than any stage of a usual tile has left; what takes longer is killed and done again at the next start.
STOP_LIMIT_S = 30.0


class Stream(StrEnum):
    """What the stream (all but the panel) is doing."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Supervisor:
    """Runs the service of one state directory. All methods belong to one thread, the process's main one."""

    def __init__(
        self, settings: Settings, extras: Extras | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.settings = settings
        self.extras = extras or Extras()
        self.environ = environ
        self.stream = Stream.STOPPED
        self.url = settings.broker_url
        self._since = time.time()
        self._error: str | None = None
        self._claim: Claim | None = None
        self._store: Store | None = None
        self._broker: EmbeddedBroker | None = None
        self._children: list[Child] = []
        self._beside: list[Child] = []
        self._usage = Usage()
        self._recorded = 0.0

    @property
    def store(self) -> Store:
        """The store that the service works on."""
        if self._store is None:
            raise RuntimeError("the supervisor has not been started")
        return self._store

    @property
    def has_more_than_the_stream(self) -> bool:
        """Whether the panel or Flower runs here as well."""
        return bool(self._beside)

    def start(self) -> None:
        """Start everything; raises Misconfigured or Transient with one line, and nothing is left running.

        Start-up is recovery: nobody else runs here, so what dead processes held is given back at once.
        """
        config = load(self.settings, self.environ)
        check_input(config)
        check_ports(self.extras)
        self._claim = Claim(self.settings.state_dir.absolute())
        try:
            self._store = Store.of(config)
            self._start_broker()
            self._beside = [
                self._started(plan) for plan in extra_plans(self.extras, self.url, self.settings, self.environ)
            ]
            self.start_stream()
        except BaseException:
            self.stop(limit_s=0)
            raise

    def start_stream(self) -> None:
        """Start broker, producer and workers with the configuration as it stands now."""
        config = load(self.settings, self.environ)
        check_input(config)
        self._enter(Stream.STARTING)
        self._start_broker()
        release_leases_of_dead_processes(self.store)
        self._children = [self._started(plan) for plan in stream_plans(config, self.url, self.environ)]
        self._enter(Stream.RUNNING)
        self.tell("the stream was started")

    def stop_stream(self, limit_s: float = STOP_LIMIT_S, hurry: Callable[[], bool] = lambda: False) -> None:
        """End producer and workers after the stages under way, at the latest after `limit_s` or when `hurry` says so.

        What was cut short is given back uncounted, so that the next start goes on with it at once.
        """
        if self.stream is Stream.STOPPED:
            return
        self._enter(Stream.STOPPING)
        for child in self._children:
            child.ask_to_end()
        deadline = time.monotonic() + limit_s
        while any(child.pid for child in self._children) and time.monotonic() < deadline and not hurry():
            time.sleep(0.05)
        for child in self._children:
            child.kill()
        self._children = []
        try:
            release_leases_of_dead_processes(self.store)
        except SQLAlchemyError as error:  # the next start does it
            log.error("store: %s", str(error).splitlines()[0])
        if self._broker is not None:
            self._broker.stop()
        self._enter(Stream.STOPPED)
        self.tell("the stream was stopped")

    def tick(self) -> None:
        """Look after the children; call it a few times a second."""
        for child in [*self._children, *self._beside]:
            told = child.watch()
            if told:
                self.tell(f"{told}; see {child.log_path}", "error")
        self._mend_broker()
        if time.monotonic() - self._recorded > RECORD_EVERY_S:
            self._record()

    def stop(self, limit_s: float = STOP_LIMIT_S, hurry: Callable[[], bool] = lambda: False) -> None:
        """End everything; nothing is left running."""
        try:
            if self._store is not None:
                self.stop_stream(limit_s, hurry)
        finally:
            for child in self._beside:
                child.ask_to_end()
            deadline = time.monotonic() + 3
            while any(child.pid for child in self._beside) and time.monotonic() < deadline:
                time.sleep(0.05)
            for child in [*self._children, *self._beside]:
                child.kill()
            if self._broker is not None:
                self._broker.stop()
            if self._store is not None:
                self._store.close()
            if self._claim is not None:
                remove_record(self.settings.state_dir.absolute())
                self._claim.give_back()

    def _start_broker(self) -> None:
        """The configured broker must answer; without one, an embedded one is started unless it runs already."""
        if self.settings.broker_url:
            check_answers(self.settings.broker_url)
            return
        if self._broker is not None and self._broker.is_running:
            return
        self._broker = EmbeddedBroker(self.settings.state_dir)
        self.url = self._broker.start().url
        log.info("embedded broker: %s on 127.0.0.1", server_program().name)

    def _mend_broker(self) -> None:
        if self._broker is None or self.stream is not Stream.RUNNING or self._broker.is_running:
            return
        self.tell("the broker ended; starting it again", "error")
        try:
            self._broker.start()
            self._error = None
        except ContimgError as error:  # the next tick tries again
            self._error = str(error)

    def tell(self, text: str, level: str = "info") -> None:
        """An event for the operator; a store that is away must not end the supervisor."""
        log.info("%s", text)
        try:
            self.store.events.add(text, level=level)
        except SQLAlchemyError as error:
            log.error("store: %s", str(error).splitlines()[0])

    def _started(self, plan: ChildPlan) -> Child:
        # The supervisor may have been given another environment than the one it runs in, in tests and demos.
        environ = {**self.environ, "PIPELINE_STATE_DIR": str(self.settings.state_dir.absolute()), **plan.environ}
        child = Child(ChildPlan(plan.name, plan.command, environ), self.settings.state_dir.absolute() / "logs")
        child.start()
        return child

    def _enter(self, stream: Stream) -> None:
        self.stream, self._since = stream, time.time()
        self._record()

    def _record(self) -> None:
        cpu_percent, memory_mb = self._usage.sample()
        children = [*self._children, *self._beside]
        record = ServiceRecord(
            process=str(ProcessName.of()),
            stream=self.stream,
            since=self._since,
            children={child.plan.name: child.pid for child in children if child.pid},
            restarts={child.plan.name: child.restarts for child in children if child.restarts},
            cpu_percent=round(cpu_percent, 1),
            memory_mb=round(memory_mb, 1),
            error=self._error,
        )
        write_record(self.settings.state_dir.absolute(), record)
        self._recorded = time.monotonic()


def check_input(config: StreamingConfig) -> None:
    """Raises Misconfigured with one line unless the incoming directory is there."""
    if not config.input_dir.is_dir():
        raise Misconfigured(
            f"{config.input_dir}: no such directory; make it, or give the one where subband files arrive"
        )
