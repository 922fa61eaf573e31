//! Our own protocol over WebSocket (`docs/protocol/websocket.md`).

mod commands;
mod frames;
mod handshake;
mod verdicts;
