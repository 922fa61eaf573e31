//! Our own protocol over WebSocket (`docs/protocol/websocket.md`).

mod commands;
mod compression;
mod frames;
mod handshake;
mod verdicts;
