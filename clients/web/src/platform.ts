import type { PlatformEvents } from './types.js'

/** Listens to what browsers say of network and page; in workers and elsewhere to as much of it as there is. C 10 */
export function browser(events: PlatformEvents): () => void {
  const stop = new AbortController()
  const { signal } = stop
  const listen = (target: unknown, name: string, act: (event: PageTransitionEvent) => void): void =>
    (target as EventTarget | undefined)?.addEventListener?.(name, act as (event: Event) => void, { signal })
  const { document: page, navigator: device } = globalThis as { document?: Document; navigator?: Navigator & { connection?: unknown } }

  listen(globalThis, 'online', () => events.network(true, true))
  listen(globalThis, 'offline', () => events.network(false))
  listen(device?.connection, 'change', () => device!.onLine !== false && events.network(true, true))
  listen(globalThis, 'pagehide', () => events.away(true))
  listen(globalThis, 'pageshow', ({ persisted }) => persisted && events.away(false))
  listen(page, 'freeze', () => events.frozen(true))
  listen(page, 'resume', () => events.frozen(false))
  listen(page, 'visibilitychange', () => page!.visibilityState === 'visible' && events.woke())
  if (device?.onLine === false) events.network(false)
  return () => stop.abort()
}
