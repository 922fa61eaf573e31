// npm `ws`: as little as one can write. A frame is encoded once for all readers of a topic and written to each socket.
// Usage: node ws.js PORT
import { createServer } from "node:http";
import { Sender, WebSocketServer } from "ws";

const topics = new Map();
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });

sockets.on("connection", (socket, request) => {
  const topic = decodeURIComponent(request.url.slice(1));
  const readers = topics.get(topic) ?? new Set();
  topics.set(topic, readers.add(socket));
  socket.on("message", (payload) => broadcast(readers, payload));
  socket.on("close", () => {
    readers.delete(socket);
    if (readers.size === 0) topics.delete(topic);
  });
  socket.send("subscribed");
});

function broadcast(readers, payload) {
  const options = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true };
  const frame = Buffer.concat(Sender.frame(payload, options));
  for (const socket of readers) socket._socket.write(frame);
}

server.on("request", (request, response) => {
  if (request.method !== "POST") return;
  const readers = topics.get(decodeURIComponent(request.url.slice("/publish/".length))) ?? [];
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    for (const payload of Buffer.concat(parts).toString().split(",")) broadcast(readers, Buffer.from(payload));
    response.setHeader("content-length", 2);
    response.end("ok");
  });
});

// A publisher that pauses keeps its connection.
server.keepAliveTimeout = 0;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
