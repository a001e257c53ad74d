"""The pages: server-rendered, whole without JavaScript, kept live by it."""

from flask import Flask

from web.panel import frame, words
from web.panel.alerts import alerts
from web.panel.api_page import api_page
from web.panel.calibration import calibration
from web.panel.commands import commands
from web.panel.configuration import configuration
from web.panel.groups import groups
from web.panel.history import history
from web.panel.image_pages import image_pages
from web.panel.logs import logs
from web.panel.sign_in import sign_in
from web.panel.sky import sky
from web.panel.streaming import streaming

blueprints = (
    streaming, commands, sign_in, configuration, groups, image_pages, calibration, history, alerts, logs, sky,
    api_page,
)  # fmt: skip


def pages(app: Flask) -> None:
    """Every page, and what their templates share."""
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.context_processor(frame.shared)
    for name in words.FILTERS:
        app.add_template_filter(getattr(words, name), name)
