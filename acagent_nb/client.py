"""`Client`: one small API for every model, local or in the cloud.

What it says is written in `talking.py`, and `asynchronous.py` has the same for `async` code. It can be
kept for long, and threads may share it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from . import answers
from .asking import Asked, How, Prompt, spelt_out
from .blocking import Sockets
from .driving import Settings
from .errors import LLMError
from .hosts import Host
from .messages import Event, Pulling, Request
from .models import Model, Running, Shown, Version
from .params import Params
from .replies import Reply
from .talking import PING_SECONDS, ROUNDS, Talk, Watch, settled, warned
from .wire import Flow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

T = TypeVar("T")


class Client:
    """Talks to models, blocking; works inside a running event loop too.

    Names that start with `local_` go to an Ollama server, all others to the cloud, and a role of
    `params.toml` to whatever model it names.

    Parameters
    ----------
    host
        Address of an Ollama server, as `OLLAMA_HOST` takes it. Without it, see `hosts.find`; the
        search happens at the first request.
    api_key, base_url
        The cloud's; without them `OPENAI_API_KEY` and `OPENAI_BASE_URL` hold. No key is sent to a
        server that it was not given for.
    headers
        Sent with every request to the Ollama server, for a proxy in front of it, and to nobody else.
    timeout
        Seconds that a call may take as a whole; `None` sets no bound but five seconds for connecting,
        because a model may take minutes to load or to think.
    params
        Roles, default options and endpoints: a `Params`, a dict, or the path of a file. Without it
        the next `params.toml` upwards from the working folder holds.

    Examples
    --------
    >>> with Client() as client:
    ...     client.chat("local_tiny", "What is 2 + 2?").text
    '2 + 2 = 4.'
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        params: Params | Mapping[str, Any] | str | PathLike[str] | None = None,
    ) -> None:
        self._talk = Talk(params, host, base_url, api_key)
        settings = Settings(host, headers or {}, api_key, base_url, self._talk.params)
        self._sockets = Sockets(settings, self._talk.facts.moved)
        self._timeout = timeout

    @spelt_out
    def chat(
        self,
        model: str | None,
        prompt: Prompt,
        *,
        pull: bool = True,
        timeout: float | None = None,
        rounds: int = ROUNDS,
        fresh: bool = False,
        **how: Unpack[How],
    ) -> Reply:
        """Ask and wait for the whole answer.

        Parameters
        ----------
        model
            A name such as "local_llama3.2:1b" or "gpt-4o-mini", or a role; `None` for the model that
            `params.toml` names.
        prompt
            One question, a conversation as messages or dicts of `role` and `content`, or a `Reply`.
        pull
            Whether a model that the Ollama server lacks is pulled first.
        timeout
            Seconds for the whole call, in place of the client's: looking for the server, a pull, all
            rounds, and the time that the caller takes between two events.
        rounds
            How often the model may ask for functions before its answer is taken as it is.
        fresh
            Whether it is asked although a recording has the answer; see `answers`.
        how
            See `asking.How`, and any model option by its name.

        Raises
        ------
        BadName, BadOption, BadPrompt, KeyMissing
            Before anything is sent.
        BadAnswer
            The answer has not the shape that `format` asks for, also after one correction.
        ServerDown, TimedOut, ModelMissing, ContextTooLong, ServerError, Incomplete
            See `errors`.
        """
        ask = self.asked(model, prompt, **how)
        return settled(ask, self._told(self.events(ask, pull=pull, timeout=timeout, rounds=rounds, fresh=fresh)))

    @spelt_out
    def stream(
        self,
        model: str | None,
        prompt: Prompt,
        *,
        pull: bool = True,
        timeout: float | None = None,
        rounds: int = ROUNDS,
        fresh: bool = False,
        **how: Unpack[How],
    ) -> Generator[Event, None, None]:
        """Ask and get the events of the answer as they come; for what it takes and raises, see `Client.chat`.

        Closing the iterator, or leaving the loop over it, closes the connection, and the server stops.
        """
        ask = self.asked(model, prompt, **how)
        return self._told(self.events(ask, pull=pull, timeout=timeout, rounds=rounds, fresh=fresh))

    def asked(self, model: str | None, prompt: Prompt, **how: Unpack[How]) -> Asked:
        """Put a question together and check it, without sending it; see `Client.chat`."""
        return self._talk.asked(model, prompt, how)

    def events(
        self,
        ask: Asked | Request,
        *,
        pull: bool = True,
        timeout: float | None = None,
        rounds: int = ROUNDS,
        fresh: bool = False,
    ) -> Generator[Event, None, None]:
        """Send a question that is put together already; see `Client.stream`. Notes come as events only."""
        return self._run(self._talk.answer(ask, pull, rounds, fresh), timeout)

    def generate(self, model: str, prompt: str, *, timeout: float | None = None, **how: Any) -> Reply:
        """Have a local model go on with a text.

        Parameters
        ----------
        model, prompt
            Its name, and the text.
        timeout
            As in `chat`.
        how
            `raw` (bool: the text as it is, without a template), `suffix` (what comes after the gap that
            the model fills), `template` (in place of the model's), `system`, `pull`, `fresh`; `images`,
            `format`, `think`, `keep_alive`, `truncate` and model options as in `chat`.

        Raises
        ------
        LLMError
            As in `chat`.
        """
        ask, flow = self._talk.generated(model, prompt, **how)
        return settled(ask, self._told(self._run(flow, timeout)))

    def embed(
        self, model: str, texts: str | Iterable[str], *, timeout: float | None = None, **how: Any
    ) -> NDArray[np.float32]:
        """Make texts into vectors of length 1.

        Parameters
        ----------
        model
            Local or in the cloud.
        texts
            One text or several, n in all.
        timeout
            As in `chat`.
        how
            `dimensions` (of the vectors, where the model can choose), `truncate` (cut texts that are
            too long instead of refusing them), `keep_alive`, `pull`, `fresh`, and model options.

        Returns
        -------
        numpy.ndarray
            Of shape (n, d) and type float32; (0, 0) for no text.

        Raises
        ------
        ContextTooLong
            A text does not fit the model's context window.
        LLMError
            As in `chat`.
        """
        *_, vectors = self._told(self._run(self._talk.embedded(model, texts, **how), timeout))
        return vectors  # type: ignore[return-value]  # the last thing that the flow yields

    def pull(self, model: str, *, watch: Watch | None = None, insecure: bool = False, timeout: float = inf) -> None:
        """Download a model; what has come stays if it is interrupted, and the next pull resumes.

        Parameters
        ----------
        model
            Its name; its first part may be the host of a registry.
        watch
            Called with each `Pulling`, to show how far it is in bytes.
        insecure
            Let the server use http for a registry.
        timeout
            Seconds; the client's own does not hold for what may take an hour.

        Raises
        ------
        ModelMissing, DiskFull, ServerError, ServerDown
        """
        self._watched(self._talk.pull(model, insecure), watch, timeout)

    def create(self, model: str, *, watch: Watch | None = None, timeout: float = inf, **how: Any) -> None:
        """Make a model out of another, or out of files; an existing one of this name is replaced.

        Parameters
        ----------
        model
            Its name.
        watch
            Called with each `Pulling`, to show how far it is.
        timeout
            Seconds; the client's own does not hold.
        how
            `from_model`, or `file` (a GGUF, which is uploaded), or `modelfile` (a path, or its text);
            `adapter` (a GGUF), `system`, `template`, `parameters` (model options), `messages`,
            `license`, `quantize`. See `making.create`.

        Raises
        ------
        BadParams
            The Modelfile can't be read.
        DiskFull, ServerError, ServerDown
        """
        self._watched(self._talk.create(model, how), watch, timeout)

    def show(self, model: str) -> Shown:
        """What the server knows of a `model`. Raises `ModelMissing`."""
        return self._result(self._talk.show(model))

    def copy(self, source: str, destination: str) -> None:
        """Give the model `source` a second name; nothing is stored twice. Raises `ModelMissing`.

        A model that has the name `destination` is replaced.
        """
        self._watched(self._talk.copy(source, destination))

    def delete(self, model: str) -> None:
        """Remove a `model` from the server. Raises `ModelMissing`."""
        self._watched(self._talk.delete(model))

    def load(self, model: str, *, keep_alive: float | str | None = None, pull: bool = True, **options: Any) -> None:
        """Load a model into memory, so that the next answer comes at once.

        Parameters
        ----------
        model
            Its name.
        keep_alive
            How long it stays: seconds, or a duration such as "5m"; -1 for ever.
        pull
            Whether it is pulled first if the server lacks it.
        options
            Model options, as the next question will have them: another `num_ctx` would load it anew.

        Raises
        ------
        LLMError
            As in `chat`.
        """
        self._watched(self._talk.load(model, keep_alive, pull, options))

    def unload(self, model: str) -> None:
        """Free the memory that a `model` takes; it stays on the disk. Raises `ModelMissing`."""
        self._watched(self._talk.unload(model))

    def models(self) -> list[Model]:
        """The models that the Ollama server has. Raises `ServerDown` and `ServerError`, as all that ask it."""
        return self._result(self._talk.models())

    def running(self) -> list[Running]:
        """The models that are loaded."""
        return self._result(self._talk.running())

    def version(self) -> Version:
        """What the Ollama server says it is."""
        return self._result(self._talk.version())

    def ping(self) -> bool:
        """Whether the Ollama server answers, within five seconds."""
        try:
            self._result(self._talk.version(), PING_SECONDS)
        except LLMError:  # for whatever reason it does not
            return False
        return True

    def host(self) -> Host:
        """The Ollama server in use, and how it was found; in a replay the recording."""
        return answers.host() or self._sockets.host()

    def close(self) -> None:
        """Close all connections; the client opens new ones if it is used again."""
        self._sockets.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self, flow: Flow[T], timeout: float | None = None) -> Generator[T, None, None]:
        return self._sockets.run(flow, self._timeout if timeout is None else timeout)

    def _told(self, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
        """The same events; notes become warnings."""
        with closing(events):
            for event in events:
                yield warned(event)

    def _result(self, flow: Flow[T], timeout: float | None = None) -> T:
        """The one thing that a flow yields."""
        (result,) = self._run(flow, timeout)
        return result

    def _watched(self, flow: Flow[Any], watch: Watch | None = None, timeout: float | None = None) -> None:
        """Run a flow to its end, and tell somebody of its steps."""
        with closing(self._told(self._run(flow, timeout))) as steps:
            for step in steps:
                if watch is not None and isinstance(step, Pulling):
                    watch(step)
