"""The pages: rendered by the server and complete without JavaScript, which keeps them up to date."""

from flask import Flask

from web.access.sign_in import sign_in
from web.activity.pages import alerts, history
from web.calibration.antenna_pages import antenna_pages
from web.calibration.pages import calibration
from web.configuration.pages import configuration
from web.http.api import api_page
from web.logs.pages import logs
from web.pages import filters, layout
from web.pages.documentation import documentation
from web.sources.catalogues.pages import catalogue_pages
from web.sources.pages import sources
from web.streaming.epoch_pages import epoch_pages
from web.streaming.pages import streaming
from web.survey.archive import archive
from web.survey.campaigns import campaign_pages
from web.survey.night_pages import night_pages
from web.tiles import sky_pages, wall_pages  # noqa: F401 (adds the pages to their blueprints)
from web.tiles.group_pages import groups
from web.tiles.image_pages import image_pages
from web.tiles.sky_survey import sky

BLUEPRINTS = (
    streaming, sign_in, night_pages, epoch_pages, configuration, groups, image_pages, sources, calibration,
    antenna_pages, history, alerts, logs, sky, catalogue_pages, archive, campaign_pages,
    api_page, documentation,
)  # fmt: skip


def add_pages(app: Flask) -> None:
    """Register every page, and the names and filters of their templates.

    Parameters
    ----------
    app : the application.
    """
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.context_processor(layout.template_names)
    for name in filters.FILTERS:
        app.add_template_filter(getattr(filters, name), name)
