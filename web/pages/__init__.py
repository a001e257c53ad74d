"""The pages: server-rendered, whole without JavaScript, kept live by it."""

from flask import Flask

from web.access.sign_in import sign_in
from web.activity.alert_pages import alerts
from web.activity.history_pages import history
from web.calibration.pages import calibration
from web.configuration.pages import configuration
from web.http.api import api_page
from web.logs.pages import logs
from web.pages import filters, layout
from web.streaming.command_pages import commands
from web.streaming.pages import streaming
from web.tiles.group_pages import groups
from web.tiles.image_pages import image_pages
from web.tiles.sky_pages import sky

blueprints = (
    streaming, commands, sign_in, configuration, groups, image_pages, calibration, history, alerts, logs, sky,
    api_page,
)  # fmt: skip


def add_pages(app: Flask) -> None:
    """Register every page, and the names and filters of their templates."""
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.context_processor(layout.template_names)
    for name in filters.FILTERS:
        app.add_template_filter(getattr(filters, name), name)
