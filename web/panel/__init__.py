"""The pages: server-rendered, whole without JavaScript, kept live by it."""

from flask import Blueprint

from web.panel import words
from web.panel.page import show

panel = Blueprint("panel", __name__)
panel.add_url_rule("/", "start", show)
panel.add_url_rule("/streaming", "streaming", show)
for name in words.FILTERS:
    panel.add_app_template_filter(getattr(words, name), name)
