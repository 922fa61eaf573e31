// npm `@microsoft/fetch-event-source`, with the options it has by default.
//
// It is made for browsers: outside one it wants `window` for timers and `document` for the visibility of the tab,
// which here is always visible.
globalThis.window = globalThis
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
const { fetchEventSource } = await import('@microsoft/fetch-event-source')
const { orders, say } = await import('./observe.mjs')

process.stdin.resume()
await fetchEventSource(orders.url, {
  headers: orders.headers,
  async onopen(response) {
    if (!response.ok) throw new Error(`status ${response.status}`)
    say('open')
  },
  onmessage: ({ event, data, id }) => say({ event: { name: event || 'message', data, id } }),
  onclose() {
    // Its documentation: to be reconnected after a clean end, throw here.
    if (orders.reconnect_after_end) throw new Error('the stream has ended')
  },
  onerror(error) {
    say({ error: String(error) })
  },
})
say('end')
