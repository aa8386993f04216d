// A React app: who is signed in has a client, whose messages a list shows.
import { useState } from 'react'
import { deviceId, storage } from 'ramen-client'
import { useMessages, useRamen, useRamenEvent, useRamenState } from 'ramen-client/react'
import { connectTabs } from 'ramen-client/tabs'

export function Offers({ url, user }: { url: string; user: string }) {
  const ramen = useRamen(() => connectTabs({ url, user, device: deviceId(), store: storage(() => localStorage) }), [url, user])
  const state = useRamenState(ramen)
  const [offers, setOffers] = useState<string[]>([])

  useMessages(ramen, ({ payload }) => setOffers((all) => [...all, JSON.stringify(payload)]))
  useRamenEvent(ramen, 'reload', () => setOffers([])) // something was missed: fetch the state anew

  return (
    <section>
      <p>{state}</p>
      <ul>{offers.map((offer, i) => <li key={i}>{offer}</li>)}</ul>
      {state === 'waiting' && <button onClick={() => ramen?.reconnect()}>Try now</button>}
    </section>
  )
}
