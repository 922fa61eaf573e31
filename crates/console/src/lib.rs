//! Pages for people, embedded in the binary and served without a build chain.
//!
//! So far the demo page of `fanfare serve --dev`: it publishes, receives over `EventSource` and WebSocket, shows who else
//! has it open, cuts its own connections and shows how they resume.
//!
//! What this crate is not: it knows no topic, no session and no secret. The page is a client like any other, and
//! its token comes from whoever serves it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

/// Everything the page needs comes from where it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Makes a token for client doors with `subscribe`, `publish`, `history` and `presence` on the demo's topic, or says
/// that it cannot.
pub type Mint = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// `/demo` and what belongs to it. For development only: `/demo/token` gives whoever can reach it a token.
///
/// The page expects, at the listener that serves it, the SSE gateway with tokens in the query allowed and the
/// WebSocket gateway, and that topics of the kind `demo` have presence and clients may publish to them.
pub fn router(mint: Mint) -> Router {
    Router::new()
        .route("/demo", get(page))
        .route("/demo/demo.css", get(style))
        .route("/demo/chart.js", get(chart))
        .route("/demo/company.js", get(company))
        .route("/demo/demo.js", get(script))
        .route("/demo/token", get(token))
        .with_state(mint)
}

fn page() -> std::future::Ready<Response> {
    asset("text/html; charset=utf-8", include_str!("demo/demo.html"))
}

fn style() -> std::future::Ready<Response> {
    asset("text/css; charset=utf-8", include_str!("demo/demo.css"))
}

fn chart() -> std::future::Ready<Response> {
    asset("text/javascript; charset=utf-8", include_str!("demo/chart.js"))
}

fn company() -> std::future::Ready<Response> {
    asset("text/javascript; charset=utf-8", include_str!("demo/company.js"))
}

fn script() -> std::future::Ready<Response> {
    asset("text/javascript; charset=utf-8", include_str!("demo/demo.js"))
}

fn asset(content_type: &'static str, text: &'static str) -> std::future::Ready<Response> {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    std::future::ready((headers, text).into_response())
}

#[derive(Serialize)]
struct Token {
    token: String,
}

fn token(State(mint): State<Mint>) -> std::future::Ready<Response> {
    let mut response = match mint() {
        Some(token) => Json(Token { token }).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    std::future::ready(response)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(mint: Mint, path: &str) -> (StatusCode, http::HeaderMap, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (head, body) = router(mint).oneshot(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (head.status, head.headers, text)
    }

    fn mint() -> Mint {
        Arc::new(|| Some("a.b.c".to_owned()))
    }

    #[tokio::test]
    async fn the_page_loads_only_what_is_served_beside_it() {
        let (status, headers, html) = get(mint(), "/demo").await;
        assert_eq!(status, 200);
        assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
        let mut loaded = 0;
        for part in html.split(['"']).filter(|part| part.starts_with("/demo/")) {
            let (status, _, text) = get(mint(), part).await;
            assert_eq!(status, 200, "{part}");
            for forbidden in ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"] {
                assert!(!text.contains(forbidden), "{forbidden} in {part}");
            }
            loaded += 1;
        }
        assert_eq!(loaded, 4);
        // The policy forbids them, so they would be dead.
        for inline in ["<script>", "<style", " style=", " onclick="] {
            assert!(!html.contains(inline), "{inline}");
        }
    }

    #[tokio::test]
    async fn a_token_is_fresh_each_time_and_never_cached() {
        let (status, headers, text) = get(mint(), "/demo/token").await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, r#"{"token":"a.b.c"}"#));
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let (status, ..) = get(Arc::new(|| None), "/demo/token").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
