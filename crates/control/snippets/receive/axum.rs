// cargo add axum base64 chrono ed25519-dalek hex hmac sha2; cargo add tokio -F full. Run: WEBHOOK_SECRET=whsec_… cargo run
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};

async fn receive(State(secret): State<String>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !verify(&secret, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    // The same webhook-id comes again if an answer of yours was lost: drop what you have seen.
    println!("{:?} {}", headers.get("webhook-id"), String::from_utf8_lossy(&body));
    StatusCode::NO_CONTENT
}

pub fn app(secret: String) -> Router {
    Router::new().route("/webhooks", post(receive)).with_state(secret)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("WEBHOOK_SECRET")?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "9000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    Ok(axum::serve(listener, app(secret)).await?)
}

// {{verify}}
