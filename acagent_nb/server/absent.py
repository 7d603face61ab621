"""What Ollama has and this server has not: each route answers 501 with one sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from .reply import BARE_JSON, JSON, openai_error, reply

_CLOUD = "the embedded server runs models on this machine only: it has no account at ollama.com"
_CHAT = "the embedded server has no {}: ask /v1/chat/completions or /api/chat instead"
_IMAGES = "the embedded server makes no images"

ROUTES = {
    ("POST", "/api/push"): "the embedded server does not push models to registries",
    ("POST", "/api/me"): _CLOUD,
    ("POST", "/api/signout"): _CLOUD,
    ("DELETE", "/api/user/keys/{key}"): _CLOUD,
    ("POST", "/api/web_search"): _CLOUD,
    ("POST", "/api/web_fetch"): _CLOUD,
    ("POST", "/api/experimental/web_search"): _CLOUD,
    ("POST", "/api/experimental/web_fetch"): _CLOUD,
    ("GET", "/api/experimental/model-recommendations"): _CLOUD,
    ("POST", "/v1/responses"): _CHAT.format("/v1/responses"),
    ("POST", "/v1/messages"): _CHAT.format("/v1/messages"),
    ("POST", "/v1/audio/transcriptions"): "the embedded server does not hear",
    ("POST", "/v1/images/generations"): _IMAGES,
    ("POST", "/v1/images/edits"): _IMAGES,
}


def answerer(path: str, said: str) -> Callable[[Request], Awaitable[Response]]:
    """What answers one of them, in the form of the API that the route belongs to."""

    async def answer(request: Request) -> Response:
        if path == "/v1/messages":  # Anthropic's
            return reply({"type": "error", "error": {"type": "api_error", "message": said}}, 501, BARE_JSON)
        if path.startswith("/v1/"):  # OpenAI's
            return openai_error(501, said)
        return reply({"error": said}, 501, JSON)

    return answer
