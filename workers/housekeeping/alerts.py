"""Evaluation of the alert rules of `contimg.settings.alerts`.

Two rules are evaluated elsewhere: `disk` by `DiskMonitor`, which also pauses the stream, and `scan` by the panel, as it
concerns the process that runs this module.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contimg.common.errors import ContimgError, Transient
from contimg.common.units import format_duration, format_utc
from contimg.quality.grades import GOOD
from contimg.settings import AlertLimits, DispatchSettings, Settings
from contimg.settings.alerts import RULE_LEVELS
from contimg.store import Store, StreamActivity
from contimg.store.activity.science import MEDIAN_DAYS
from workers.broker import announce_service, url_in_force
from workers.housekeeping.catalogue import check_tiles
from workers.housekeeping.clocks import wrong_clocks
from workers.inspection import Inspection

RESTART_S = 120.0  # an evaluation that is later than this after the last one was interrupted by a stop of the stream
_EVALUATED = "alerts.evaluated"


def check_broker_is_own(store: Store, settings: Settings) -> None:
    """Raise or end the alert `broker`: another service uses the same database of the broker.

    Parameters
    ----------
    store : the store, whose identity names the service.
    settings : gives the broker, and the state directory that describes the service to others.
    """
    url, description = url_in_force(settings), f"{socket.gethostname()}:{settings.state_dir.absolute()}"
    try:
        other_services = announce_service(url, store.activity.store_identity(), description)
    except Transient:
        return  # the rule `worker` reports a broker that does not answer
    users = ", ".join(other_services)
    problem = f"broker: {url} is also used by the service of {users}, and each takes the other's messages; "
    problem += "give one of them another database (/1, /2) in CONTIMG_BROKER_URL"
    store.alerts.update(
        "broker",
        problem if other_services else None,
        level=RULE_LEVELS["broker"],
        end_text="broker: over, it is used by one",
    )


@dataclass
class AlertEvaluator:
    """Evaluates every rule; the store records the beginning and the end of each alert once.

    Parameters
    ----------
    store : the store.
    dispatch : limits of the rules `stall` and `backlog`.
    limits : limits of the other rules.
    inspect : returns the last inspection of the workers, or None without one.
    find_catalogue : returns the file of the reference catalogue, or None without one.
    """

    store: Store
    dispatch: DispatchSettings
    limits: AlertLimits = field(default_factory=AlertLimits)
    inspect: Callable[[], Inspection | None] = lambda: None
    find_catalogue: Callable[[], Path | None] = lambda: None
    _unserved_since: float | None = field(default=None, init=False)
    _running_since: float | None = field(default=None, init=False)
    _noted_at: float = field(default=0.0, init=False)

    def evaluate(self) -> None:
        """Evaluate every rule once."""
        activity = self.store.activity.read()
        self._note_evaluation(activity.at)
        for rule, (check, end_text) in {
            "no data": (self._no_data, "a file has arrived"),
            "stall": (self._stall, "groups advance"),
            "no product": (self._no_product, "an image was made"),
            "failures": (self._failures, "a group was completed"),
            "backlog": (self._backlog, ""),
            "worker": (lambda _: self._worker(), "every queue has a worker"),
            "clock": (lambda _: next(iter(wrong_clocks(self.store)), None), ""),
            "uncalibrated": (lambda _: self._uncalibrated(), "tiles are calibrated and a good caltable set is valid"),
            "calibration age": (lambda _: self._calibration_age(), "a new good caltable set is registered"),
            "old gains": (lambda _: self._old_gains(), "a tile is calibrated with gains of its own hours"),
            "quality": (lambda _: self._quality(), "the images are as usual"),
            "partial": (lambda _: self._partial(), "no subband is missing in every tile"),
            "catalogue": (lambda _: self._catalogue(), "the tiles are inside the reference catalogue"),
        }.items():
            over = f"{rule}: over" + (f", {end_text}" if end_text else "")
            self.store.alerts.update(rule, check(activity), level=RULE_LEVELS[rule], end_text=over)
        self._report_pointing()
        self.store.silences.report_ended()

    def _note_evaluation(self, now: float) -> None:
        """Record the evaluation, and since when the stream runs: a restart of some seconds is no interruption."""
        if self._running_since is not None and now - self._noted_at < RESTART_S / 4:
            return
        if self._running_since is None:
            last = self.store.activity.beats(_EVALUATED).get("")
            continues = last is not None and now - last.at <= RESTART_S
            self._running_since = float(last.text) if last is not None and continues else now
        self._noted_at = now
        self.store.activity.beat(_EVALUATED, f"{self._running_since:.3f}")

    def _no_data(self, activity: StreamActivity) -> str | None:
        """No file has arrived for some cadences, in which the stream ran; an alert ends with a file only."""
        cadence_s = self.store.database.rules.cadence_s
        limit_s = self.limits.alert_no_data_cadences * cadence_s
        if not limit_s:
            return None
        last = activity.last_arrival
        alert = next((alert for alert in self.store.alerts.active() if alert.rule == "no data"), None)
        if alert is not None:
            since, is_quiet = last or alert.began_at, last is None or last < alert.began_at
        else:
            since = max(last or 0.0, self._running_since or activity.at)
            is_quiet = activity.at - since > limit_s
        if not is_quiet:
            return None
        last_text = "none has arrived yet" if last is None else f"the last at {format_utc(last)}"
        duration, limit = format_duration(activity.at - since), format_duration(limit_s)
        return f"no data: no file for {duration} (limit {limit}), {last_text}; check the correlator and the transfer"

    def _stall(self, activity: StreamActivity) -> str | None:
        """Groups wait, files have arrived, and no stage was committed for too long; never while paused."""
        if activity.waiting_since is None or activity.last_arrival is None or self.store.jobs.paused:
            return None
        idle_s = activity.at - max(activity.waiting_since, activity.last_advance or 0.0)
        if idle_s < self.dispatch.stall_s:
            return None
        return (
            f"stall: {activity.waiting} groups wait and none has advanced for {idle_s:.0f} s "
            f"(limit {self.dispatch.stall_s:g} s); see `contimg workers` and the workers' logs"
        )

    def _no_product(self, activity: StreamActivity) -> str | None:
        """Files still arrive, and no image was made of the groups that came after the last one; never while paused."""
        limit_s = self.limits.alert_no_product_s
        if not limit_s or activity.unanswered_since is None or activity.last_arrival is None or self.store.jobs.paused:
            return None
        if activity.at - activity.last_arrival > limit_s or activity.at - activity.unanswered_since < limit_s:
            return None
        duration = format_duration(activity.at - activity.unanswered_since)
        return (
            f"no product: files have arrived for {duration} without an image (limit {format_duration(limit_s)}); "
            "see the failed groups and the quarantined files"
        )

    def _failures(self, activity: StreamActivity) -> str | None:
        limit = self.limits.alert_failures
        if not limit or activity.failed_in_row < limit:
            return None
        return (
            f"failures: {activity.failed_in_row} groups have failed in succession (limit {limit}); "
            "see `contimg groups list --state failed`"
        )

    def _backlog(self, activity: StreamActivity) -> str | None:
        limit, remaining_s = self.dispatch.backlog_groups, activity.catch_up_s
        if activity.waiting <= limit:
            return None
        trend = "not decreasing" if remaining_s is None else f"done in {format_duration(remaining_s)} at this rate"
        return f"backlog: {activity.waiting} groups wait (limit {limit}), {trend}"

    def _uncalibrated(self) -> str | None:
        """The newest tiles are imaged without calibration, or no good caltable set is valid for the next ones."""
        count = self.limits.alert_uncalibrated
        if not count:
            return None
        images = self.store.science.newest_images(count)
        if len(images) == count and not any(image.is_calibrated for image in images):
            return (
                f"uncalibrated: the last {count} tiles are not calibrated (limit {count}), the newest is "
                f"{images[0].group}; the reason is on the image"
            )
        if self.store.science.lacks_good_set():
            return "uncalibrated: no good caltable set is valid now; see `contimg calibrations list`"
        return None

    def _calibration_age(self) -> str | None:
        """The newest good caltable set of the declination strip is old: a transit gave none."""
        limit_h = self.limits.alert_calibration_age_h
        newest = self.store.science.newest_good_set() if limit_h else None
        if newest is None or newest[1] <= limit_h:
            return None
        caltable_set, age_h = newest
        return (
            f"calibration age: the newest good caltable set, {caltable_set.name} on {caltable_set.calibrator}, is "
            f"{age_h:.1f} h old (limit {limit_h:g} h); see `contimg calibrations list` for the sets since then"
        )

    def _old_gains(self) -> str | None:
        """The newest tiles are calibrated with a borrowed set, or with old gains that the sky does not confirm."""
        count, limit_h = self.limits.alert_uncalibrated, self.limits.alert_gain_age_h
        images = self.store.science.newest_images(count) if count and limit_h else ()
        if not images or len(images) < count or not all(image.has_old_gains(limit_h) for image in images):
            return None
        newest = images[0]
        return (
            f"old gains: the last {count} tiles are calibrated with a set of another day, or with gains older than "
            f"{limit_h:g} h that the sky does not confirm; the newest is {newest.group}: {newest.calibration.age_text}"
        )

    def _quality(self) -> str | None:
        """The newest images are not good, or unlike those of the days before on their declination strip."""
        count, limit = self.limits.alert_quality, self.limits.alert_quality_factor
        images = self.store.science.newest_images(count) if count else ()
        if not images or len(images) < count:
            return None
        if not any(image.grade == GOOD for image in images):
            return (
                f"quality: the last {count} images are not good (limit {count}), the newest is {images[0].group}, "
                f"{images[0].grade or 'not graded'}; see their reasons"
            )
        for deviation in self.store.science.deviations(images) if limit else ():
            if deviation.factor > limit:
                return (
                    f"quality: {deviation.name} is {deviation.value:.3g} in the last {count} images, "
                    f"{deviation.usual:.3g} in the {MEDIAN_DAYS:g} days before (limit: a factor of {limit:g}); "
                    "see the flags and the calibration"
                )
        return None

    def _partial(self) -> str | None:
        count = self.limits.alert_partial
        missing = self.store.science.missing_subbands(count) if count else ()
        if not missing:
            return None
        subbands = ", ".join(map(str, missing))
        noun = "subband" if len(missing) == 1 else "subbands"
        return (
            f"partial: {noun} {subbands} missing in the last {count} tiles (limit {count}); "
            "check the machines that write them"
        )

    def _catalogue(self) -> str | None:
        """The newest tiles are outside the reference catalogue, or it cannot be read."""
        try:
            coverage = check_tiles(self.store, self.find_catalogue())
        except ContimgError as error:
            return f"catalogue: {error}"
        return None if coverage is None else coverage.problem

    def _report_pointing(self) -> None:
        """Record an event when the declination of the newest tile differs from that last recorded."""
        limit_deg, pointing = self.limits.alert_declination_deg, self.store.science.pointing()
        if not limit_deg or pointing is None:
            return
        dec_deg, recorded = pointing[1], self.store.alerts.last_value("declination")
        if recorded is None or abs(dec_deg - float(recorded)) > limit_deg:
            text = f"declination: the pointing has changed from {float(recorded or 0.0):+.2f} to {dec_deg:+.2f} deg"
            text += f" (limit {limit_deg:g} deg)"
            self.store.alerts.report_change("declination", f"{dec_deg:.4f}", text, level=RULE_LEVELS["declination"])

    def _worker(self) -> str | None:
        """A queue has had no worker, or the broker has not answered, for longer than a restart takes."""
        inspection = self.inspect() if self.limits.alert_worker_s else None
        problem = None if inspection is None else inspection.error
        if inspection is not None and inspection.unserved:
            problem = f"no worker for {', '.join(inspection.unserved)}; start one, see `contimg workers`"
        now = self.store.database.clock()
        self._unserved_since = (now if self._unserved_since is None else self._unserved_since) if problem else None
        if self._unserved_since is None or now - self._unserved_since < self.limits.alert_worker_s:
            return None
        return f"worker: {problem}"
