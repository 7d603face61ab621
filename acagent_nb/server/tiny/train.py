"""Trains the demo model from nothing: ``python -m acagent_nb.server.tiny.train``.

The steps: read the corpus, make a tokenizer of it, draw conversations, learn the answers in them, write the GGUF file.
An interrupt keeps a checkpoint, from which ``--resume`` goes on.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import PATH
from .corpus import load
from .recipe import Recipe
from .render import CONTROL, MARKS, Conversation, pieces
from .sums import every_sum

# Threads that wait for each other in a busy loop are ten times slower as soon as the machine does anything else;
# threads that sleep at once are half as fast when it does nothing else. So: a short busy loop, then sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "100000")
try:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from .convert import write
    from .model import Model, Shape
    from .pace import Threads, clock, pace
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 768


def tokenizer_of(recipe: Recipe, size: int) -> Tokenizer:
    """A byte-level BPE made from the recipe's own texts: what llama.cpp calls gpt2, with smollm's split digits."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*CONTROL, *MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for _ in range(12_000) for text, _ in pieces(recipe.conversation()))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encoded(conversation: Conversation, tokenizer: Tokenizer) -> list[tuple[int, int, float]]:
    """For each place: the token, the next one, and how much it counts to learn that one there."""
    tokens: list[int] = []
    weights: list[float] = []
    for text, learned in pieces(conversation):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokens += ids
        # Short answers (sums, labels, names) would drown in the long ones if each token counted alike.
        weights += [len(ids) ** -0.5 if learned else 0.0] * len(ids)
    return list(zip(tokens[:-1], tokens[1:], weights[1:], strict=True))


def batches(recipe: Recipe, tokenizer: Tokenizer, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of about ``size`` tokens: conversations of like length, side by side, each starting at place 0."""
    while True:
        pool = [encoded(recipe.conversation(), tokenizer) for _ in range(768)]
        pool = sorted((places for places in pool if len(places) <= LONGEST), key=len)
        groups: list[list[list[tuple[int, int, float]]]] = [[]]
        for places in pool:
            if len(places) * (len(groups[-1]) + 1) > size:
                groups.append([])
            groups[-1].append(places)
        recipe.rng.shuffle(groups)
        for group in groups:
            width = len(group[-1])
            padded = torch.tensor([places + [(0, 0, 0.0)] * (width - len(places)) for places in group])
            yield padded[..., 0].long(), padded[..., 1].long(), padded[..., 2]


def optimizers(model: Model, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside, AdamW for the embedding and the norms."""
    inner = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and name.startswith("blk")]
    rest = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or not name.startswith("blk")]
    return [
        torch.optim.Muon(inner, lr=rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def train(options: argparse.Namespace) -> None:
    """Train as the options say, and write the file at the end."""
    threads = Threads(options.threads)
    # Without this the softmax's vanishing numbers make the matrix products twenty times slower on some processors.
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    corpus = load()
    for fault in corpus.faults(every_sum()):
        print("corpus:", fault, file=sys.stderr)
    shape = Shape(options.vocabulary, options.width, options.layers, options.heads, options.inner)
    tokenizer = tokenizer_of(Recipe(corpus, options.seed), options.vocabulary)
    model = Model(shape, LONGEST)
    tools = optimizers(model, options.rate)
    first = 0
    if options.resume:
        kept = torch.load(options.checkpoint, weights_only=True)
        model.load_state_dict(kept["model"])
        for tool, state in zip(tools, kept["optimizers"], strict=True):
            tool.load_state_dict(state)
        tokenizer, first = Tokenizer.from_str(kept["tokenizer"]), kept["step"]
    size = sum(weight.numel() for weight in model.parameters())
    print(f"{size:,} parameters, {len(corpus.questions())} questions, {options.steps} steps", flush=True)

    def keep(step: int) -> None:
        state: dict[str, Any] = {"model": model.state_dict(), "optimizers": [tool.state_dict() for tool in tools]}
        fresh = options.checkpoint.with_suffix(".part")
        torch.save({**state, "tokenizer": tokenizer.to_str(), "step": step}, fresh)
        fresh.replace(options.checkpoint)

    # Each stretch of training draws anew, so that a resumed one sees other conversations than those it has seen.
    supply = batches(Recipe(corpus, options.seed + 1 + first), tokenizer, options.batch)
    start, step, mean = time.monotonic(), first, 0.0
    try:
        for step in range(first, options.steps):
            spent, share = time.monotonic() - start, first / options.steps
            by_clock = share + (1 - share) * spent / (60 * options.minutes) if options.minutes else 0.0
            done = max(step / options.steps, by_clock)
            if done >= 1:
                break
            threads(step)
            tokens, targets, weights = next(supply)
            began = time.monotonic()
            loss = model(tokens, targets, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for tool in tools:
                for group in tool.param_groups:
                    group["lr"] = options.rate * pace(step, done)
                tool.step()
                tool.zero_grad()
            threads.learn(step, tokens.numel(), time.monotonic() - began)
            mean += (loss.item() - mean) * max(0.02, 1 / (step - first + 1))
            if step % 50 == 49 or step == options.steps - 1:
                left = spent * (1 - done) / (done - share) if done > share else 0.0
                print(
                    f"step {step + 1}/{options.steps}  loss {mean:.4f}  {clock(spent)}, {clock(left)} left", flush=True
                )
            if step % 100 == 99:
                keep(step + 1)
    except KeyboardInterrupt:
        keep(step)
        print(f"stopped at step {step}; go on with --resume --checkpoint {options.checkpoint}")
        raise SystemExit(130) from None
    keep(options.steps)
    write(options.out, model, shape, tokenizer.to_str())
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shape = argparse.ArgumentParser(
        prog="python -m acagent_nb.server.tiny.train", description=(__doc__ or "").split("\n")[0]
    )
    shape.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    shape.add_argument("--out", type=Path, default=PATH, help="the GGUF file to write")
    shape.add_argument("--checkpoint", type=Path, default=Path("tiny.pt"), help="where the state is kept for --resume")
    shape.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    shape.add_argument("--steps", type=int, default=4000, help="batches to learn from")
    shape.add_argument("--minutes", type=float, default=0, help="be done by then, with fewer batches; 0: no such limit")
    shape.add_argument("--batch", type=int, default=3072, help="tokens in a batch")
    shape.add_argument("--rate", type=float, default=0.004, help="the highest learning rate")
    shape.add_argument("--threads", type=int, default=2, help="torch's threads at most")
    shape.add_argument("--seed", type=int, default=7, help="fixes the first weights and what is drawn")
    shape.add_argument("--vocabulary", type=int, default=1536, help="tokens known")
    shape.add_argument("--width", type=int, default=160, help="a multiple of 32")
    shape.add_argument("--layers", type=int, default=5, help="blocks")
    shape.add_argument("--heads", type=int, default=5, help="heads a block")
    shape.add_argument("--inner", type=int, default=448, help="width of the feed-forward layer, a multiple of 32")
    return shape


def main() -> None:
    """Read the command line and train."""
    options = parser().parse_args()
    if MISSING:
        raise SystemExit(
            f"Training needs more packages ({MISSING}).\nInstall them with: pip install 'acagent_nb[train]'"
        )
    random.seed(options.seed)
    train(options)


if __name__ == "__main__":
    main()
