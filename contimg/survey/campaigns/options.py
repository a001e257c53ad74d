"""Options of campaigns."""

from contimg.common.options import Options, option


class CampaignOptions(Options, env_prefix="CONTIMG_CAMPAIGN_"):
    """How much of the workers campaigns may use."""

    jobs: int = option(
        0, "Maximum number of jobs of campaigns that are sent or in progress; 0: half of max_workers, at least 1",
        minimum=0,
    )  # fmt: skip

    def jobs_at_once(self, max_workers: int) -> int:
        """Return the number of jobs of campaigns that may be sent or in progress.

        Parameters
        ----------
        max_workers : worker processes of all queues together.
        """
        return self.jobs or max(1, max_workers // 2)
