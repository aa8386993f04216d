// React Native: no DOM, so the platform's events come from its own modules, and the place is in AsyncStorage. Its fetch cannot
// stream, so there is no SSE: WebSocket, then long-poll.
import AsyncStorage from '@react-native-async-storage/async-storage'
import NetInfo from '@react-native-community/netinfo'
import { AppState } from 'react-native'
import { connect, longPoll, storage, webSocket, type PlatformEvents, type Ramen } from 'ramen-client/core'

function platform(events: PlatformEvents): () => void {
  let network = ''
  const stopNetwork = NetInfo.addEventListener(({ isConnected, type }) => {
    events.network(isConnected !== false, network !== '' && network !== type)
    network = type
  })
  // In the background, iOS cuts the stream within seconds: it is judged, or opened anew, when the app is active again.
  const app = AppState.addEventListener('change', (state) => {
    if (state === 'active') events.frozen(false)
    else if (state === 'background') events.frozen(true)
  })
  return () => {
    stopNetwork()
    app.remove()
  }
}

export const start = (url: string, device: string, token: () => Promise<string>): Ramen =>
  connect({ url, device, token, platform, store: storage(() => AsyncStorage), transports: [webSocket(), longPoll()] })
