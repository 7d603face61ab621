// Everything that ollama-js offers, against the server in OLLAMA_HOST, which has tiny and tiny:skills.
// Left out: webSearch and webFetch, which ask ollama.com whatever the host is.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'

const { Ollama } = createRequire(import.meta.url)('ollama') // require reads NODE_PATH, import does not
const host = process.env.OLLAMA_HOST
const ollama = new Ollama({ host })
const messages = [{ role: 'user', content: 'why is the sky blue?' }]
const options = { temperature: 0 }
const model = 'tiny'
const rome = [{ role: 'user', content: 'What is the weather in Rome?' }]
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const format = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false }
const endless = { type: 'array', items: { enum: ['again and again'] }, minItems: 500 }

async function all(stream) {
  const lines = []
  for await (const line of stream) lines.push(line)
  return lines
}

const names = async () => (await ollama.list()).models.map((each) => each.name)

test('chat, streamed and not, says the same', async () => {
  const whole = await ollama.chat({ model, messages, options })
  const lines = await all(await ollama.chat({ model, messages, options, stream: true }))
  assert.ok(lines.length > 2)
  assert.equal(lines.map((line) => line.message.content).join(''), whole.message.content)
  assert.equal(lines.at(-1).done_reason, 'stop')
  assert.ok(whole.eval_count > 0 && whole.total_duration >= whole.eval_duration)
})

test('generate, streamed and not, says the same', async () => {
  const prompt = 'what is 2+2?'
  const whole = await ollama.generate({ model, prompt, options })
  const lines = await all(await ollama.generate({ model, prompt, options, stream: true }))
  assert.equal(lines.map((line) => line.response).join(''), whole.response)
  assert.ok(whole.context.length > 2)
  const raw = await ollama.generate({ model, prompt, raw: true, format: endless, options: { num_predict: 3 } })
  assert.equal(raw.eval_count, 3)
  assert.equal(raw.done_reason, 'length')
})

test('log probabilities', async () => {
  const asked = { model, messages, logprobs: true, top_logprobs: 2, options: { num_predict: 2 } }
  const { logprobs } = await ollama.chat(asked)
  assert.equal(logprobs.length, 2)
  assert.ok(logprobs.every((each) => each.logprob <= 0 && each.top_logprobs.length === 2))
})

test('a stream that is aborted by itself', async () => {
  const stream = await ollama.generate({ model, prompt: 'Once', raw: true, format: endless, stream: true })
  const reading = async () => {
    for await (const line of stream) if (!line.done) stream.abort()
  }
  await assert.rejects(reading, { name: 'AbortError' })
})

test('all streams of a client that are aborted', async () => {
  const own = new Ollama({ host })
  const asked = { model, prompt: 'Once', raw: true, format: endless, stream: true }
  const streams = [await own.generate({ ...asked }), await own.generate({ ...asked })]
  setTimeout(() => own.abort(), 50)
  for (const done of await Promise.allSettled(streams.map(all))) assert.equal(done.reason?.name, 'AbortError')
  assert.ok((await ollama.chat({ model, messages, options })).done) // and the engine has time for others
})

test('embed and embeddings', async () => {
  const { embeddings } = await ollama.embed({ model, input: ['a', 'b'], truncate: true })
  assert.equal(embeddings.length, 2)
  assert.ok(Math.abs(Math.hypot(...embeddings[0]) - 1) < 1e-4)
  assert.equal((await ollama.embed({ model, input: 'a', dimensions: 8 })).embeddings[0].length, 8)
  assert.equal((await ollama.embeddings({ model, prompt: 'a' })).embedding.length, embeddings[0].length)
})

test('tools, called and answered', async () => {
  const asked = { model: 'tiny:skills', tools: [weather], think: false, options }
  const { message } = await ollama.chat({ ...asked, messages: rome })
  assert.equal(message.tool_calls[0].function.name, 'get_weather')
  assert.equal(typeof message.tool_calls[0].function.arguments.city, 'string')
  const result = { role: 'tool', tool_name: 'get_weather', content: '21 degrees' }
  assert.ok((await ollama.chat({ ...asked, messages: [...rome, message, result] })).message.content)
  const lines = await all(await ollama.chat({ ...asked, messages: rome, stream: true }))
  assert.ok(lines.some((line) => line.message.tool_calls?.length === 1))
})

test('a format, as a schema and as "json"', async () => {
  const { message } = await ollama.chat({ model, messages, format, options })
  assert.ok(Number.isInteger(JSON.parse(message.content).n))
  const told = await ollama.generate({ model, prompt: 'is it?', format: 'json', options: { ...options, num_predict: 60 } })
  assert.match(told.response, /^\s*\{/)
})

test('think, in all its forms', async () => {
  for (const think of [true, 'low', 'medium', 'high']) {
    const { message } = await ollama.chat({ model: 'tiny:skills', messages, think, options })
    assert.ok(message.thinking.trim() && !message.content.includes('think>'))
  }
  assert.equal((await ollama.chat({ model: 'tiny:skills', messages, think: false, options })).message.thinking, undefined)
  const lines = await all(await ollama.generate({ model: 'tiny:skills', prompt: 'why?', think: true, stream: true }))
  assert.ok(lines.some((line) => line.thinking))
  await assert.rejects(ollama.chat({ model, messages, think: true }), /does not support thinking/)
})

test('an image is refused by a model that sees none', async () => {
  const seen = [{ ...messages[0], images: [new Uint8Array([1, 2, 3])] }]
  await assert.rejects(ollama.chat({ model, messages: seen }), /does not support multimodal/)
})

test('pull, with its progress', async () => {
  const lines = await all(await ollama.pull({ model, stream: true }))
  assert.equal(lines[0].status, 'pulling manifest')
  assert.ok(lines.some((line) => line.completed > 0 && line.completed === line.total))
  assert.equal(lines.at(-1).status, 'success')
  assert.equal((await ollama.pull({ model })).status, 'success')
})

test('create, copy, show, list and delete', async () => {
  const made = { model: 'made', from: model, system: 'Be brief.', parameters: { top_k: 3 }, messages }
  const lines = await all(await ollama.create({ ...made, license: 'Free', stream: true }))
  assert.equal(lines.at(-1).status, 'success')
  assert.equal((await ollama.create({ ...made, model: 'again' })).status, 'success')
  assert.equal((await ollama.copy({ source: 'made', destination: 'copied' })).status, 'success')
  const shown = await ollama.show({ model: 'copied' })
  assert.equal(shown.system, 'Be brief.')
  assert.match(shown.parameters, /top_k +3/)
  assert.match(shown.license, /Free/)
  assert.equal(shown.details.format, 'gguf')
  assert.ok((await ollama.chat({ model: 'copied', messages, options })).message.content)
  assert.ok((await names()).includes('copied:latest'))
  for (const name of ['made', 'again', 'copied']) assert.equal((await ollama.delete({ model: name })).status, 'success')
  assert.ok(!(await names()).includes('copied:latest'))
  await assert.rejects(ollama.delete({ model: 'copied' }), { name: 'ResponseError', status_code: 404 })
})

test('ps, keep_alive and version', async () => {
  await ollama.chat({ model, messages, keep_alive: '10m', options })
  const loaded = (await ollama.ps()).models.find((each) => each.name === 'tiny:latest')
  assert.ok(new Date(loaded.expires_at) - Date.now() > 500_000)
  assert.equal((await ollama.generate({ model, prompt: '', keep_alive: 0 })).done_reason, 'unload')
  assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+/)
})

test('what is refused comes as a ResponseError with a sentence', async () => {
  const missing = { name: 'ResponseError', status_code: 404, message: /model 'nope' not found/ }
  await assert.rejects(ollama.chat({ model: 'nope', messages }), missing)
  await assert.rejects(ollama.chat({ model: 'nope', messages, stream: true }), missing)
  await assert.rejects(ollama.show({ model: 'nope' }), { name: 'ResponseError', status_code: 404 })
  await assert.rejects(ollama.push({ model }), { name: 'ResponseError', status_code: 501 })
})
