// Socket.IO as its documentation recommends for throughput ("Performance tuning"): WebSocket only, no compression,
// bufferutil installed, the reference to each handshake request dropped. A broadcast goes to a room.
// Usage: node socketio.js PORT
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
const io = new Server({ transports: ["websocket"], perMessageDeflate: false, httpCompression: false, serveClient: false });

io.on("connection", (socket) => {
  const { topic } = socket.handshake.query;
  socket.join(topic);
  socket.on("publish", (payload) => io.to(topic).emit("event", payload));
  socket.conn.request = null;
  socket.emit("subscribed");
});

server.on("request", (request, response) => {
  if (request.method !== "POST") return;
  const topic = decodeURIComponent(request.url.slice("/publish/".length));
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    for (const payload of Buffer.concat(parts).toString().split(",")) io.to(topic).emit("event", payload);
    response.setHeader("content-length", 2);
    response.end("ok");
  });
});

io.attach(server);
// A publisher that pauses keeps its connection.
server.keepAliveTimeout = 0;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
