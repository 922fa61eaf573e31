//! Messages of a request's body, as they lie.

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use tonic::Status;
use tonic::codec::{BufferSettings, CompressionEncoding, DecodeBuf, Decoder, Streaming};

/// What is set aside for the messages of one stream before any has come: a command has a hundred bytes. gRPC libraries
/// set aside 8 KiB.
const BUFFER_BYTES: usize = 512;
/// How many bytes of replies are put together. Not used: nothing is encoded here.
const YIELD_BYTES: usize = 32 * 1024;

/// Leaves a message as it is: who reads it says what is wrong with it.
struct Bare;

impl Decoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

/// The messages of `body`, each of at most `bytes_max` bytes.
pub(crate) fn messages(
    headers: &HeaderMap,
    body: axum::body::Body,
    bytes_max: usize,
) -> Result<Streaming<Bytes>, Status> {
    let encoding = match headers.get("grpc-encoding").map(http::HeaderValue::as_bytes) {
        None | Some(b"identity") => None,
        Some(b"gzip") => Some(CompressionEncoding::Gzip),
        Some(_) => {
            let mut status = Status::unimplemented("messages are compressed in a way that is not known here; gzip is");
            status
                .metadata_mut()
                .insert("grpc-accept-encoding", tonic::metadata::MetadataValue::from_static("gzip,identity"));
            return Err(status);
        }
    };
    Ok(Streaming::new_request(Bare, body, encoding, Some(bytes_max)))
}
