"""Writes the trained weights as one GGUF file: Q8_0, its tokenizer and its chat template inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

from . import CONTEXT, TEMPLATE
from .render import CONTROL, END, MARKS

if TYPE_CHECKING:
    from .model import Model, Shape


def write(path: Path, model: Model, shape: Shape, tokenizer: str) -> None:
    """Write the file, and only when it is whole give it its name.

    Parameters
    ----------
    path
        Where it goes; an older file is replaced.
    model, shape
        The trained weights and their sizes.
    tokenizer
        The tokenizer in the JSON of the tokenizers package.
    """
    fresh = path.with_suffix(".part")
    writer = gguf.GGUFWriter(fresh, "llama")
    writer.add_name("tiny")
    writer.add_author("acagent_nb")
    writer.add_license("MIT")
    writer.add_description("A tiny demo model, trained from nothing on its own small corpus.")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(shape.rope)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _tokens(writer, tokenizer)
    for name, tensor in model.state_dict().items():
        values = tensor.detach().float().numpy()
        if values.ndim == 1:  # llama.cpp wants the norms as they are
            writer.add_tensor(name, values)
            continue
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fresh.replace(path)


def _tokens(writer: gguf.GGUFWriter, tokenizer: str) -> None:
    model = json.loads(tokenizer)["model"]
    number = model["vocab"]
    # A wrong type here gives silently wrong answers: control tokens are recognised in a prompt, and not shown in an
    # answer; user-defined ones are recognised and shown.
    kinds = dict.fromkeys(number, gguf.TokenType.NORMAL)
    kinds |= dict.fromkeys(CONTROL, gguf.TokenType.CONTROL) | dict.fromkeys(MARKS, gguf.TokenType.USER_DEFINED)
    tokens = sorted(number, key=lambda token: int(number[token]))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds[token] for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(number[END])
    writer.add_eos_token_id(number[END])
    writer.add_pad_token_id(number[END])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
