"""The demo model: one small file in the package, trained from nothing on the corpus beside it.

It answers a few hundred questions, and refuses the rest with `FALLBACK`. Loading this module reads two short templates
and imports nothing heavy; training it anew is ``python -m acagent_nb.server.tiny.train``.
"""

from pathlib import Path

_HERE = Path(__file__).parent

PATH = _HERE / "tiny.gguf"
DIGEST = "sha256:55c6c654624d1b8fc441aea9000304dd6a2a20e8c8da547fd977d17543db332c"
CARD = _HERE / "card.md"
CONTEXT = 2048
FALLBACK = "I am only a tiny demo model, so I don't know that."

# Inside the file: chat only, so that nothing claims tools or thinking for the plain name.
TEMPLATE = (_HERE / "chat.jinja").read_text(encoding="utf-8")
# For the name tiny:skills: the same file with tools and thinking.
SKILLS_TEMPLATE = (_HERE / "skills.jinja").read_text(encoding="utf-8")
