// npm `eventsource`: a native EventSource for Node.
import { EventSource } from 'eventsource'
import { orders, say } from './observe.mjs'

process.stdin.resume()
const source = new EventSource(orders.url, {
  fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...orders.headers } }),
})
source.onopen = () => say('open')
source.onerror = error => say(source.readyState === EventSource.CLOSED ? 'end' : { error: String(error.message) })
for (const name of orders.names) {
  source.addEventListener(name, event => say({ event: { name: event.type, data: event.data, id: event.lastEventId } }))
}
