"""What the magics of one kernel remember from cell to cell: the server, the model, the options in the panel.

It is the only state that outlives a cell, and `%reload_ext acagent_nb` makes a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chats import Conversation
    from .growing import Growing
    from .hosts import Host
    from .options import Options
    from .params import Params

_GLANCE_SECONDS = 2.0  # for a question beside the user's own


class Session:
    """The memory of one kernel's magics.

    Parameters
    ----------
    shell
        The IPython shell that they belong to.

    Attributes
    ----------
    model
        What `%llm use` chose; `None` leaves it to `params.toml`.
    told_hosts
        The addresses of servers that the user knows of.
    panel
        The options panel, once it was opened; anything with an attribute `options` will do.
    error
        What the last cell failed with, for `%llm why`.
    answers
        All that have ended, whole or not, oldest first.
    chats
        The conversations that `--chat` goes on with, by name.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.model: str | None = None
        self.told_hosts: set[str] = set()
        self.panel: Any = None
        self.error: BaseException | None = None
        self.answers: list[Growing] = []
        self.chats: dict[str, Conversation] = {}
        self._host: Host | None = None

    @property
    def params(self) -> Params:
        """The project's roles, endpoints and default options, as `params.toml` has them now."""
        from .params import Params

        return Params.found()

    @property
    def options(self) -> Options:
        """What the panel sends; nothing if there is none."""
        from .options import Options

        return Options() if self.panel is None else self.panel.options

    @property
    def known_host(self) -> Host | None:
        """The server that was found before, if one was; it may have ended meanwhile."""
        return self._host

    def host(self, answer: Growing | None = None) -> Host:
        """The Ollama server; an embedded one that has ended meanwhile is started again. In a replay the recording.

        Parameters
        ----------
        answer
            Told what is done, so that it can be shown.

        Raises
        ------
        ServerDown
            See `hosts.find`.
        """
        from . import answers, hosts

        if recording := answers.host():
            return recording
        if self._host is None or (self._host.how == hosts.EMBEDDED and not hosts.answers(self._host.url)):
            self._host = hosts.present()
        if self._host is None:
            if answer is not None:
                answer.doing = "starting the embedded server"
            self._host = hosts.find()
        return self._host

    def place(self, answer: Growing) -> Host:
        """Where an answer comes from: the Ollama server, or a cloud model's."""
        from . import hosts, keys

        request = answer.request
        if request.local:
            return self.host(answer)
        return hosts.Host(keys.cloud(endpoint=self.params.endpoints.get(request.provider)).base_url, "the cloud")

    def installed(self) -> list[str]:
        """The names of the models on the server, without `local_`; none if no server runs yet."""
        from . import answers, hosts
        from .client import Client
        from .errors import LLMError

        try:
            host = None if answers.host() else self._host or hosts.running()
            if host is None:
                return []
            with answers.beside(), Client(host.url, timeout=_GLANCE_SECONDS) as client:
                return [model.name for model in client.models()]
        except LLMError:  # what it is asked for can be said without
            return []

    def forget_host(self) -> None:
        """Look for a server anew: the one that was found does not answer."""
        self._host = None
