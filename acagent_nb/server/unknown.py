"""Names that no model here has, or can have, refused in Ollama's words."""

from __future__ import annotations

from .. import names
from ..errors import BadName, ServerError


def refuse_bad(text: str, said: str = "invalid model name") -> None:
    """Refuse a name that breaks the grammar, with status 400 and these words."""
    try:
        names.parse(text)
    except BadName:
        raise bad_name(text, said) from None


def bad_name(text: str, said: str = "invalid model name") -> ServerError:
    """That a name breaks the grammar, in these words or in those that Ollama has for a place said twice."""
    both = names.source(text) == "both"
    return ServerError(f'use either :local or :cloud, not both: "{text}"' if both else said, status=400)


def missing(text: str, said: str) -> ServerError:
    """That a model is not here, in these words; or that it can't be, because it runs in Ollama's cloud."""
    if names.source(text) == "cloud":
        return ServerError(
            f"'{text}' runs in Ollama's cloud: the embedded server runs models on this machine only", status=501
        )
    return ServerError(said, status=404)
