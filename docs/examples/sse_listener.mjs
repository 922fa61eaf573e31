// Listens to a topic over SSE; the library goes on where it was cut off. Needs: npm install eventsource
import { EventSource } from 'eventsource'

const { FANFARE_URL, FANFARE_TOKEN, TOPIC } = process.env
const url = `${FANFARE_URL}/v1/sse?topic=${encodeURIComponent(TOPIC)}&from=start`
const stream = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${FANFARE_TOKEN}` } })
})
stream.onmessage = event => console.log(event.data) // events without a name; others: stream.addEventListener(name, …)
stream.addEventListener('fanfare.gap', event => console.log('#', event.data)) // events that are gone, and why
stream.onerror = event => console.log('#', event.message ?? 'reconnecting')
