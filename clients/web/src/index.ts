// The client with its default transports, all of which are bundled. core.ts has the one without.
import { Client } from './client.js'
import { longPoll } from './transports/poll.js'
import { sse } from './transports/sse.js'
import { webSocket } from './transports/websocket.js'
import type { Options, Ramen } from './types.js'

export { webSocket, sse, longPoll }
export { eventSource } from './transports/eventsource.js'
export { deviceId, indexedDBStorage, storage } from './stores.js'
export { version } from './device.js'
export type { KeyValues } from './stores.js'
export type * from './types.js'
export type { Connection, End, Frame, GoAway, Opening, Push, Query, ServerHello, Sink, Transport } from './wire.js'

/** Connects a device: by default over WebSocket, else SSE, else long-poll. */
export const connect = (options: Options): Ramen => new Client({ ...options, transports: options.transports ?? [webSocket(), sse(), longPoll()] })
