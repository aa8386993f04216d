import {
  bodyOf, maxFrame, refusal, request, validCursor, words,
  type End, type GoAway, type Push, type Transport,
} from '../wire.js'

const waitSeconds = 25
const graceMs = 10_000 // beyond the wait, until the head of the answer must have come; then until its next bytes
const leaveMs = 200 // of a poll that is an ack
const pauseMs = 1000 // between two polls of which the first brought nothing

interface Answer {
  resumed: boolean
  stream?: string
  expired?: number
  cursor: string
  messages: Push[]
  goaway?: GoAway
}

/**
 * Long-poll (SPEC 5.6): one poll after the other is a stream. The next one waits until what the last one brought is
 * processed, since its cursor is their ack.
 */
export const longPoll = (): Transport => ({
  name: 'poll',
  pushes: 1024,
  bytes: 4 << 20,
  polls: true,
  open(opening, sink) {
    const o = { ...opening }
    let greeted = false
    let closed = false
    let unsure = false // whether the server has heard the last ack
    let due = '' // the cursor that the next poll must have; empty: whatever is there
    let abort: AbortController
    let timer: ReturnType<typeof setTimeout>

    async function poll(): Promise<void> {
      abort = new AbortController()
      const wait = greeted ? waitSeconds : 0 // so that the app knows at once whether it is online. C 3.9
      const began = performance.now()
      const allow = (ms: number) => (timer = setTimeout(() => fail({ silent: true }), ms))
      allow(wait * 1000 + graceMs)
      const response = await request(o, 'poll', { ...o.query, cursor: o.cursor, wait }, { signal: abort.signal })
      if (response.status !== 200) return fail(await refusal(response))
      const text = await bodyOf(response, maxFrame, () => {
        sink.alive() // a slow path: an answer's bytes are signs of life. C 3.3
        clearTimeout(timer)
        allow(graceMs)
      })
      clearTimeout(timer)
      if (closed) return
      unsure = false
      const answer = JSON.parse(text) as Answer
      if (!answer.goaway && !Array.isArray(answer.messages)) throw Error('not an answer to a poll')
      take(answer, text.length)
      if (!due && !closed) timer = setTimeout(next, wait ? Math.max(0, pauseMs - (performance.now() - began)) : 0)
    }

    function next(): void {
      poll().catch((error) => fail({ detail: words(error) }))
    }

    function fail(end: End): void {
      if (closed) return
      close()
      sink.end(end)
    }

    /** Makes frames of an answer: a hello where there is something new to say, and the pushes. */
    function take(answer: Answer, size: number): void {
      const { goaway, messages, cursor, resumed, expired, stream } = answer
      sink.alive()
      if (goaway) return sink.frame({ goaway }, 0)
      const count = messages.length
      const hello = !greeted || expired || !resumed
      greeted = true
      if (count) due = cursor
      else o.cursor = validCursor(cursor) || o.cursor
      // The answer's cursor is that of its last push; of hello only where there is none.
      if (hello) sink.frame({ hello: { resumed, expired, stream, cursor: count ? '' : cursor } }, 0)
      messages.forEach((push, i) => {
        sink.frame({ push: { ...push, cursor: i === count - 1 ? cursor : '' } }, size / count)
      })
    }

    function close(): void {
      closed = true
      clearTimeout(timer)
      abort.abort()
    }

    next()
    return {
      ack(_, cursor) {
        o.cursor = cursor
        if (closed || cursor !== due) return
        due = ''
        unsure = true
        next()
      },
      /** The poll under way is the ack: it gets the time to leave before it is cut off. C 12.5 */
      flush: () => new Promise((done) => setTimeout(done, unsure ? leaveMs : 0)),
      refresh(token) {
        o.token = token
      },
      close,
    }
  },
})
