"""The embedded default: Ollama's API over llama.cpp, in the optional extra `embedded`.

The process and its routes:

    run.py        listening, the state file, when to end
    app.py        routes: which request goes where, and in what shape it is answered
    v1.py         the OpenAI-compatible routes, passed to the engine as they are
    guard.py      who may ask: the Host and Origin checks
    reply.py      answers over ASGI: JSON, errors, streams that stop when their reader leaves

From a request to its answer, mostly pure:

    body.py       a request's body, read and refused in Go's words
    durations.py  Go's durations and timestamps
    settings.py   options -> what loads a model, and what goes with each request
    ask.py        Ollama's request -> the engine's
    hear.py       the engine's event stream -> pieces of an answer
    tell.py       pieces -> Ollama's lines
    talk.py       one answer from lease to last line
    fit.py        prompts that are too long, made to fit

The engine:

    engine.py     models in child processes: leased to requests, ended when nobody needs them
    process.py    one child from its parent's side
    line.py       HTTP to a child, cheaply
    child.py      the child's own main

Models:

    store.py      where they lie (Ollama's own layout)
    pull.py       the built-in ones into the store
    gguf.py       what a model file says of itself
    show.py       models as `tags`, `show` and `ps` tell of them
    tiny/         the demo model
"""
