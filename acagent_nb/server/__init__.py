"""The embedded default: Ollama's API over llama.cpp, in the optional extra `embedded`.

The process and its routes:

    run.py        the process: the state file, when to end
    listen.py     the address it listens on
    stepping.py   how it and its children share the processor with others
    app.py        routes: which request goes where, and in what shape it is answered
    models.py     routes for models as such: listed, shown, pulled, made, copied, deleted
    embeds.py     routes for texts as vectors
    upload.py     routes for blobs: streamed to the disk
    absent.py     routes that answer 501: what Ollama has and this server has not
    unknown.py    names that no model here has
    v1.py         the OpenAI-compatible routes: the same questions and answers in other words
    http.py       connections: limits to what comes in, and what goes out together
    guard.py      who may ask: the Host and Origin checks
    reply.py      answers over ASGI: JSON, errors, streams that stop when their reader leaves

From a request to its answer, mostly pure:

    body.py       a request's body, read and refused in Go's words
    durations.py  Go's durations and timestamps
    settings.py   options -> what loads a model, and what goes with each request
    ask.py        Ollama's request -> the engine's
    wanted.py     OpenAI's request -> the same
    turns.py      its messages, images and formats
    hear.py       the engine's event stream -> pieces of an answer
    tell.py       pieces -> Ollama's lines
    choices.py    pieces -> OpenAI's chunks
    talk.py       one answer from lease to last line
    fit.py        prompts that are too long, made to fit

The engine:

    engine.py     models in child processes: leased to requests, a few at a time, ended when nobody needs them
    place.py      one child's place among them: who uses it, and until when
    memory.py     how much a model will take, and how much there is
    process.py    one child from its parent's side
    line.py       HTTP to a child, cheaply
    child.py      the child's own main

Models:

    store.py      where they lie (Ollama's own layout), and an Ollama's folder behind that, which is only read
    manifest.py   one of them, and what its layers hold
    making.py     new ones out of others or out of uploaded files
    templates.py  chat templates that come with a request
    go.py         Go templates, checked, and turned into Jinja
    pull.py       how they come into the store: the built-in ones from the package, any other by
    remote.py     a pull from a registry, line by line
    registry.py   what a registry is asked, and its refusals in Ollama's words
    fetch.py      one blob's download, shared by all who ask for it
    transfer.py   its parts, ranges, retries and stalls
    partial.py    what has come of it so far, kept beside the blob
    garbage.py    what nobody needs any more
    claims.py     which blobs somebody needs, and which of the others are ours to remove
    layers.py     what is written of one
    gguf.py       what a model file says of itself
    alias.py      further names for them, as long as the server runs
    show.py       models as `tags`, `show` and `ps` tell of them
    tiny/         the demo model
"""
