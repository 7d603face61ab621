"""Views in a notebook: the options panel, the model manager, the chat. Stock ipywidgets, no script of our own."""

from importlib.util import find_spec

from ..errors import MissingExtra

if find_spec("ipywidgets") is None:
    raise MissingExtra("This needs ipywidgets, which is not installed.", 'Install it: pip install "acagent-nb[panel]"')
