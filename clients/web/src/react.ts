// Hooks for React. The client is made and closed by the app, or by useRamen.
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { Events, Message, Ramen, State } from './types.js'

/**
 * Makes a client when the component is mounted, and closes it when it is unmounted or a value of `deps` changes. Null before.
 *
 *     const ramen = useRamen(() => connect({ url, user, device }), [user])
 */
export function useRamen(make: () => Ramen, deps: readonly unknown[] = []): Ramen | null {
  const [ramen, set] = useState<Ramen | null>(null)
  useEffect(() => {
    const made = make()
    set(made)
    return () => {
      set(null)
      void made.close()
    }
  }, deps)
  return ramen
}

/** The client's state. */
export function useRamenState(ramen: Ramen | null): State {
  const subscribe = useCallback((changed: () => void) => ramen?.on('state', changed) ?? (() => {}), [ramen])
  return useSyncExternalStore(subscribe, () => ramen?.state ?? 'stopped', () => 'stopped')
}

/** Listens while the component is mounted. The listener of the last rendering is called. */
export function useRamenEvent<K extends keyof Events>(ramen: Ramen | null, name: K, listener: (event: Events[K], signal?: AbortSignal) => unknown): void {
  const last = useRef(listener)
  useEffect(() => {
    last.current = listener
  })
  useEffect(() => ramen?.on(name, (event, signal) => last.current(event, signal)), [ramen, name])
}

/** Handles messages: one is processed once `handle`, or its promise, is done. While no component does, messages wait. */
export const useMessages = (ramen: Ramen | null, handle: (message: Message, signal?: AbortSignal) => unknown): void =>
  useRamenEvent(ramen, 'message', handle)
