//! Reading a request's body: bounded in size while it streams, and in time.

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::Options;
use crate::fault::Fault;

/// Reads the whole of `body`.
pub(crate) async fn read(body: Body, options: &Options) -> Result<Bytes, Fault> {
    let bytes_max = options.body_bytes_max;
    if body.size_hint().lower() > bytes_max.0 {
        return Err(too_large(options));
    }
    let deadline = options.body_timeout;
    match tokio::time::timeout(deadline.get(), collect(body, bytes_max.as_usize())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Broken::TooLarge)) => Err(too_large(options)),
        Ok(Err(Broken::CutOff)) => Err(Fault::invalid("the body ended before it was complete")),
        Err(_) => Err(Fault::request_timeout(format_args!("the body took longer than {deadline} to arrive"))),
    }
}

fn too_large(options: &Options) -> Fault {
    Fault::too_large(format_args!("the body has more than {} bytes", options.body_bytes_max.0))
}

enum Broken {
    TooLarge,
    CutOff,
}

/// Of a body whose length is announced, so much memory is taken before it has come.
const RESERVED_BYTES_MAX: usize = 256 << 10;

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Broken> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Broken::CutOff)?.into_data() else { continue };
        if first.len() + whole.len() + data.len() > bytes_max {
            return Err(Broken::TooLarge);
        }
        // A body that comes in one piece, as most do, is not copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.min(RESERVED_BYTES_MAX));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Reads a small body in JSON as what it stands for. A member that is not known is a mistake worth telling.
pub(crate) async fn read_json<T: DeserializeOwned>(request: Request, options: &Options) -> Result<T, Fault> {
    let (head, body) = request.into_parts();
    must_be_json(&head.headers)?;
    let bytes = read(body, options).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        if error.is_data() {
            return fanfare_model::json::complaint("body", &error).into();
        }
        let (line, column) = (error.line(), error.column());
        Fault::invalid(format_args!("the body is not valid JSON at line {line}, column {column}"))
            .with_code("invalid_json")
    })
}

/// What a body is said to be: `type/subtype` in lower case, without parameters. Empty if nothing is said.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a media type says that the body is JSON.
pub(crate) fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// Refuses a body that is not said to be JSON: other types can be sent by a page of a foreign origin without
/// asking first.
pub(crate) fn must_be_json(headers: &HeaderMap) -> Result<(), Fault> {
    let media_type = media_type(headers);
    if is_json(&media_type) {
        return Ok(());
    }
    Err(Fault::unsupported_media_type("the body must be JSON, with `Content-Type: application/json`"))
}
