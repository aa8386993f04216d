import { createRoot } from 'react-dom/client'
import { Offers } from './App.js'

const { url = 'http://127.0.0.1:8080', user = 'alice' } = Object.fromEntries(new URLSearchParams(location.search))
createRoot(document.getElementById('root')!).render(<Offers url={url} user={user} />)
