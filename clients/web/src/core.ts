// The client without default transports: what is not named is not bundled.
import { Client } from './client.js'
import type { Options, Ramen } from './types.js'
import type { Transport } from './wire.js'

export { webSocket } from './transports/websocket.js'
export { sse } from './transports/sse.js'
export { eventSource } from './transports/eventsource.js'
export { longPoll } from './transports/poll.js'
export { deviceId, indexedDBStorage, storage } from './stores.js'
export { version } from './device.js'
export type { KeyValues } from './stores.js'
export type * from './types.js'
export type { Connection, End, Frame, GoAway, Opening, Push, Query, ServerHello, Sink, Transport } from './wire.js'

/** Connects a device over the transports that are named, in the order of preference. */
export const connect = (options: Options & { transports: Transport[] }): Ramen => new Client(options)
