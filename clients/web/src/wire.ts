// What every transport has in common: the frames, the contract with the stream above it, and HTTP.

export interface ServerHello {
  resumed: boolean
  stream?: string
  seq?: number
  timeout_ms?: number
  ack_ms?: number
  time_ms?: number
  expired?: number
  cursor?: string
}

export interface Push {
  seq: number
  id: string
  type: string
  priority: 'high' | 'medium' | 'low'
  created_ms: number
  expires_ms: number
  collapse_key?: string
  headers?: Record<string, string>
  redelivered?: boolean
  content_type?: string
  payload?: unknown
  payload_b64?: string
  cursor?: string
}

export interface GoAway {
  reason?: string
  reconnect_ms?: number
  detail?: string
}

/** One frame of the server's. With nothing set, it is one that this client does not know. */
export interface Frame {
  hello?: ServerHello
  push?: Push
  goaway?: GoAway
  heartbeat?: unknown
}

/** How a stream, or the attempt to open one, ended, as far as the transport can tell. */
export interface End {
  /** The server's word; absent: it said none. */
  reason?: string
  detail?: string
  /** When the server wants the device back at the earliest. */
  retryAfterMs?: number
  /** Nothing came for too long. */
  silent?: boolean
}

/** What a transport tells the stream. */
export interface Sink {
  /** Something was read. */
  alive(): void
  /** `size` is about that of the payload, `retryAfterMs` of a refusal by goaway. */
  frame(frame: Frame, size: number, retryAfterMs?: number): void
  end(end: End): void
}

/** One open connection. */
export interface Connection {
  /** Rejects with an End. `last`: the page may be gone before the answer comes. */
  ack(seq: number, cursor: string, last?: boolean): Promise<void> | void
  /** Waits until the last ack has left, where `ack` does not. */
  flush?(): Promise<void>
  echo?(): void
  /** Hands a new token over. Absent: it needs a stream of its own. */
  refresh?(token: string): void
  close(): void
}

/** What to open. */
export interface Opening {
  url: string
  /** User and device. */
  identity: Query
  /** Window, heartbeat, context. */
  query: Query
  cursor: string
  token: string
  credentials: RequestCredentials
  fetch: typeof fetch
}

export type Query = Record<string, string | number | undefined>

export interface Transport {
  readonly name: string
  /** The server's window, in pushes and bytes. SPEC 2.10 */
  readonly pushes: number
  readonly bytes: number
  readonly twoWay?: boolean
  /** The bytes of an incomplete frame cannot be seen. SPEC 2.8.4 */
  readonly blind?: boolean
  /** A stream is made of requests that end. */
  readonly polls?: boolean
  open(opening: Opening, sink: Sink): Connection
}

/** One frame, event or answer, in characters. */
export const maxFrame = 16 << 20
const maxRefusal = 64 << 10
const maxRetryAfterMs = 60_000
const ackTimeoutMs = 10_000

const known =
  ' drain rebalance superseded disconnected unauthenticated permission_denied invalid_argument unavailable resource_exhausted ack_timeout too_slow internal '

/** A reason that this client knows, or nothing. C 4.1 */
export const knownReason = (reason: unknown): string | undefined =>
  typeof reason === 'string' && known.includes(` ${reason} `) ? reason : undefined

/** A cursor by SPEC 1.1.9, or nothing. */
export const validCursor = (cursor: unknown): string =>
  typeof cursor === 'string' && /^[\w.-]{1,128}$/.test(cursor) ? cursor : ''

/** What an exception says, for `detail`. Addresses are cut off: their query may hold a token. */
export const words = (error: unknown): string => String((error as Error)?.message ?? error).replace(/\?\S*/g, '')

export function address(o: Opening, call: string, more: Query): string {
  const parts = Object.entries({ ...o.identity, ...more })
    .filter(([, value]) => value != null && value !== '')
    .map(([name, value]) => encodeURIComponent(name) + '=' + encodeURIComponent(value as string))
  return `${o.url}/ramen/${call}?${parts.join('&')}`
}

/** Sends a request. Redirects are errors: what leads elsewhere is no server of ours. C 3.5 */
export const request = (o: Opening, call: string, more: Query, init: RequestInit): Promise<Response> =>
  o.fetch(address(o, call, more), {
    cache: 'no-store',
    credentials: o.credentials,
    redirect: 'error',
    // Browsers set accept-encoding themselves; elsewhere no proxy is to compress, and so hold back, a stream. C 3.6
    headers: { ...(o.token && { authorization: `Bearer ${o.token}` }), 'accept-encoding': 'identity' },
    ...init,
  })

/** Reads a body of at most `most` characters; answers what it has got where there are more. `alive` is told of each piece. */
export async function bodyOf(response: Response, most: number, alive?: () => void): Promise<string> {
  if (!response.body?.getReader) return response.text() // React Native
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text
    alive?.()
    text += decoder.decode(value, { stream: true })
    if (text.length > most) {
      void reader.cancel().catch(() => {})
      return text
    }
  }
}

/** Reads the answer to a refused request. What has not the body of SPEC 4.4.1 came from something in between. */
export async function refusal(response: Response): Promise<End> {
  const { status } = response
  const end: End = {
    detail: `http status ${status}`,
    retryAfterMs: Math.min((Number(response.headers.get('retry-after')) || 0) * 1000, maxRetryAfterMs),
  }
  try {
    const { code, message } = JSON.parse(await bodyOf(response, maxRefusal)).error
    end.detail = message
    if (status !== 404 && status !== 405) end.reason = knownReason(code) // it has no such transport: another one may do
  } catch {
    if (status === 401) end.reason = 'unauthenticated' // so that no refused token is sent again. C 6.4
  }
  return end
}

/** Reads one JSON text. What is none is not of the contract, and ends the stream. */
export function deliver(sink: Sink, text: string, frame: (value: unknown) => Frame, retryAfterMs?: number): void {
  let value
  try {
    if (text.length > maxFrame) throw 0
    value = frame(JSON.parse(text))
  } catch {
    return sink.end({ detail: 'not a frame' })
  }
  sink.frame(value, text.length, retryAfterMs)
}

/** Acks over a request of its own. SPEC 5.5 */
export async function postAck(o: Opening, cursor: string, last?: boolean): Promise<void> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), ackTimeoutMs)
  let end: End
  try {
    const response = await request(o, 'ack', { cursor }, { method: 'POST', keepalive: last, signal: abort.signal })
    if (response.ok) return
    end = await refusal(response)
    if (response.status === 404 && end.detail !== `http status 404`) end.reason = 'invalid_argument' // the place is lost
  } catch (error) {
    end = { detail: words(error) }
  } finally {
    clearTimeout(timer)
  }
  throw end
}
