//! The model's nouns in protobuf and back.

mod draft;
mod event;
mod gap;
mod kind;
