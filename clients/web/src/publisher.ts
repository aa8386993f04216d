// A publisher for backends (SPEC 8, 9): ids that outlive attempts, shared requests, order for each user. C 14
import { words } from './wire.js'

export interface Publication {
  user: string
  /** One device of the user's; else all. */
  device?: string
  /** Makes the publish idempotent. Default: a UUIDv7. */
  id?: string
  type?: string
  priority?: 'high' | 'medium' | 'low'
  /** A JSON value, or bytes: then with their content type. */
  payload?: unknown
  contentType?: string
  /** From 1000; default: the server's, 30 min. */
  ttlMs?: number
  collapseKey?: string
  headers?: Record<string, string>
  /** Only devices whose context has these values. */
  where?: Record<string, string>
}

export interface Published {
  id: string
  status: 'accepted' | 'duplicate'
  /** The known devices that it is for. */
  devices: number
}

export interface PublisherOptions {
  /** Where the backends' port is: `http://127.0.0.1:9080`. */
  url: string
  /** The backend's key. */
  key?: string
  /** How long one publish is tried, in ms. Default 30000. */
  timeoutMs?: number
  fetch?: typeof fetch
}

/** A message that was not published, or of which that is not known. */
export class PublishError extends Error {
  override readonly name = 'PublishError'

  constructor(
    /** A code of the server's (SPEC 4.4), `timeout` or `closed`. */
    readonly code: string,
    message: string,
    /** To try again under. */
    readonly id: string,
    /** The message may have been accepted. */
    readonly unknown: boolean,
  ) {
    super(`ramen: publish ${id}: ${message}`)
  }
}

const mostMessages = 256 // in a request
const mostBytes = 3 << 20
const mostRequests = 4
const attemptMs = 10_000
const firstPauseMs = 100
const mostPauseMs = 5000
const mostRetryAfterMs = 60_000

const isTransient = (code: string): boolean => code === 'unavailable' || code === 'resource_exhausted'

interface Entry {
  readonly user: string
  readonly id: string
  readonly body: string
  readonly resolve: (published: Published) => void
  readonly reject: (error: PublishError) => void
  readonly timer: ReturnType<typeof setTimeout>
  attempts: number
  alone: boolean // a request that it was in was refused as a whole
  done: boolean
}

/** One user's messages: none is sent while an earlier one is out, or waits to be sent again. */
interface Queue {
  readonly entries: Entry[]
  busy: boolean
}

interface Result {
  id: string
  status: 'accepted' | 'duplicate' | 'rejected'
  devices?: number
  error?: { code: string; message: string }
}

export class Publisher {
  readonly #options: PublisherOptions
  readonly #queues = new Map<string, Queue>()
  #requests = 0
  #scheduled = false
  #closed = false
  #idle: (() => void)[] = []

  constructor(options: PublisherOptions) {
    if (!/^https?:\/\/[^\s?#]+$/.test(options.url)) throw TypeError(`ramen: url is ${JSON.stringify(options.url)}; it must be http:// or https://, and a host`)
    this.#options = options
  }

  /** Publishes a message, and tries again where it may help. Rejects with a PublishError. */
  publish(message: Publication): Promise<Published> {
    const { user, id = uuid() } = message
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new PublishError('closed', 'the publisher is closed', id, false))
      const timer = setTimeout(() => this.#late(entry), this.#options.timeoutMs ?? 30_000)
      const entry: Entry = { user, id, body: bodyOf(message, id), resolve, reject, timer, attempts: 0, alone: false, done: false }
      let queue = this.#queues.get(user)
      if (!queue) this.#queues.set(user, (queue = { entries: [], busy: false }))
      queue.entries.push(entry)
      this.#schedule()
    })
  }

  /** Waits for what is out; what is published from now on is refused. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#queues.size) await new Promise<void>((done) => this.#idle.push(done))
  }

  #late(entry: Entry): void {
    const unknown = entry.attempts > 0
    this.#settle(entry, () =>
      entry.reject(new PublishError('timeout', unknown ? 'no answer in time: its fate is unknown' : 'it was not sent in time', entry.id, unknown)))
    const queue = this.#queues.get(entry.user)
    if (queue && !queue.busy) this.#tidy(queue, entry.user)
  }

  #settle(entry: Entry, tell: () => void): void {
    if (entry.done) return
    entry.done = true
    clearTimeout(entry.timer)
    tell()
  }

  /** Drops what is settled, and the queue with its last message. */
  #tidy(queue: Queue, user: string): void {
    const rest = queue.entries.filter((entry) => !entry.done)
    queue.entries.splice(0, Infinity, ...rest)
    if (!rest.length && this.#queues.get(user) === queue) this.#queues.delete(user)
    if (!this.#queues.size) for (const done of this.#idle.splice(0)) done()
  }

  /** Sends once this turn of the event loop is over, so that what is published in it shares a request. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setTimeout(() => {
      this.#scheduled = false
      while (this.#requests < mostRequests) {
        const batch = this.#take()
        if (!batch.length) return
        this.#requests++
        void this.#send(batch).finally(() => {
          this.#requests--
          this.#schedule()
        })
      }
    })
  }

  /** A request's worth of messages, of users that have none out. */
  #take(): Entry[] {
    const batch: Entry[] = []
    let bytes = 0
    for (const queue of this.#queues.values()) {
      if (queue.busy) continue
      for (const entry of queue.entries) {
        if (entry.done) continue
        if (batch.length && (entry.alone || batch.length >= mostMessages || bytes + entry.body.length > mostBytes)) return batch
        batch.push(entry)
        bytes += entry.body.length
        queue.busy = true
        if (entry.alone) return batch
      }
    }
    return batch
  }

  async #send(batch: Entry[]): Promise<void> {
    for (const entry of batch) entry.attempts++
    let pauseMs = 0
    try {
      const response = await this.#post(`{"messages":[${batch.map((entry) => entry.body).join()}]}`)
      pauseMs = Math.min((Number(response.headers.get('retry-after')) || 0) * 1000, mostRetryAfterMs)
      const answer = (await response.json().catch(() => ({}))) as { results?: Result[]; error?: Result['error'] }
      if (response.ok && answer.results?.length === batch.length) batch.forEach((entry, i) => this.#answered(entry, answer.results![i]!))
      else if (!response.ok && response.status < 500 && response.status !== 429) this.#refused(batch, response.status, answer.error)
    } catch {} // no answer: it is tried again, under the same ids
    this.#again(batch, pauseMs)
  }

  async #post(body: string): Promise<Response> {
    const { url, key } = this.#options
    const headers: Record<string, string> = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) }
    return (this.#options.fetch ?? fetch)(`${url.replace(/\/+$/, '')}/v1/publish`, {
      method: 'POST', headers, body, redirect: 'error', signal: AbortSignal.timeout(attemptMs),
    })
  }

  #answered(entry: Entry, { status, devices = 0, error }: Result): void {
    if (status !== 'rejected') return this.#settle(entry, () => entry.resolve({ id: entry.id, status, devices }))
    const { code, message } = error ?? { code: 'internal', message: 'no reason was given' }
    if (!isTransient(code)) this.#settle(entry, () => entry.reject(new PublishError(code, message, entry.id, false)))
  }

  /** A request was refused as a whole: a batch is sent again one by one, so that one bad message fails alone. */
  #refused(batch: Entry[], status: number, error?: Result['error']): void {
    const { code, message } = error ?? { code: 'refused', message: `http status ${status}` }
    const shared = batch.length > 1 && status !== 401 && status !== 403
    for (const entry of batch) {
      if (shared) entry.alone = true
      else this.#settle(entry, () => entry.reject(new PublishError(code, message, entry.id, false)))
    }
  }

  /** Sends what is not settled again, after a pause with full jitter. C 14.2 */
  #again(batch: Entry[], retryAfterMs: number): void {
    for (const user of new Set(batch.map((entry) => entry.user))) {
      const queue = this.#queues.get(user)!
      const left = batch.find((entry) => entry.user === user && !entry.done)
      const free = (): void => {
        queue.busy = false
        this.#tidy(queue, user)
        this.#schedule()
      }
      if (!left || (left.alone && left.attempts === 1)) free()
      else setTimeout(free, retryAfterMs + Math.random() * Math.min(firstPauseMs * 2 ** (left.attempts - 1), mostPauseMs))
    }
  }
}

function bodyOf(m: Publication, id: string): string {
  const { user, device, type, priority, payload, contentType, ttlMs, collapseKey, headers, where } = m
  const bytes = payload instanceof Uint8Array
  try {
    return JSON.stringify({
      user, device, id, type, priority, headers, where,
      payload: bytes ? undefined : payload,
      payload_b64: bytes ? btoa(Array.from(payload, (byte) => String.fromCharCode(byte)).join('')) : undefined,
      content_type: contentType ?? (bytes ? 'application/octet-stream' : undefined),
      ttl_ms: ttlMs,
      collapse_key: collapseKey,
    })
  } catch (error) {
    throw new PublishError('invalid_argument', `the payload is no JSON: ${words(error)}`, id, false)
  }
}

/** A UUIDv7 (RFC 9562): sorted by time. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  new DataView(bytes.buffer).setBigUint64(0, (BigInt(Date.now()) << 16n) | BigInt((bytes[6]! << 8) | bytes[7]!))
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
