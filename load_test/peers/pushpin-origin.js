// The web application behind Pushpin: it tells the proxy to hold each request open and which channel it is of (GRIP).
// Usage: node pushpin-origin.js PORT
import { createServer } from "node:http";

createServer((request, response) => {
  const channel = decodeURIComponent(request.url.slice("/stream/".length));
  response.writeHead(200, {
    "content-type": "text/event-stream",
    // A connection that is kept may be closed by one side while the other sends on it.
    "connection": "close",
    "grip-hold": "stream",
    "grip-channel": channel,
    "grip-keep-alive": ":\\n\\n; format=cstring; timeout=25",
  });
  response.end(":\n\n");
}).listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
