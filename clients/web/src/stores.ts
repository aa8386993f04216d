// Where a cursor, and a device's id, outlive the page.
import type { CursorStore } from './types.js'

/** localStorage, sessionStorage, or React Native's AsyncStorage. */
export interface KeyValues {
  getItem(key: string): Promise<string | null> | string | null
  setItem(key: string, value: string): Promise<unknown> | unknown
}

/**
 * Keeps cursors in what has getItem and setItem: `storage(() => localStorage)`, `storage(() => AsyncStorage)`. It is a function
 * since a browser may forbid to look at localStorage: that is a store that fails, and fails no connect.
 */
export const storage = (area: () => KeyValues): CursorStore => ({
  load: async (key) => area().getItem(key),
  save: async (key, cursor) => area().setItem(key, cursor),
})

/** Keeps cursors in IndexedDB, which workers have, too. */
export function indexedDBStorage(name = 'ramen'): CursorStore {
  let database: Promise<IDBDatabase> | undefined

  const done = <T>(request: IDBRequest<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })

  function open(): Promise<IDBDatabase> {
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore('cursors')
    return done(request)
  }

  async function within<T>(mode: IDBTransactionMode, act: (cursors: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    database ??= open()
    try {
      return await done(act((await database).transaction('cursors', mode).objectStore('cursors')))
    } catch (error) {
      database = undefined // it may have been closed under us: the next call opens it anew
      throw error
    }
  }

  return {
    load: (key) => within('readonly', (cursors) => cursors.get(key)),
    save: (key, cursor) => within('readwrite', (cursors) => cursors.put(cursor, key)),
  }
}

/** A random device id that the area keeps; where it cannot, one for this page alone. */
export function deviceId(area: () => Pick<Storage, 'getItem' | 'setItem'> = () => localStorage, key = 'ramen device'): string {
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
  try {
    const kept = area().getItem(key)
    if (!kept) area().setItem(key, fresh)
    return kept || fresh
  } catch {
    return fresh
  }
}
