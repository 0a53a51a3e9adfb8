//! What the specification says of whoever stands between a client and a server, and no official suite checks: the rules for
//! intermediaries of 2026-07-28, and what follows from the others for a gate that judges.

mod asked;
mod batches;
mod caches;
mod headers;
mod streams;
mod tasks;

use portcullis_integration::agent::events;
use portcullis_integration::wait::DEADLINE;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// A stream of events as it comes in.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the gate answers");
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// Reads until so many messages have come.
    async fn messages(&mut self, count: usize) -> Vec<Value> {
        loop {
            let found = events(&self.text);
            if found.len() >= count {
                return found;
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk()).await;
            let chunk =
                chunk.unwrap_or_else(|_| panic!("no more than {}", self.text)).expect("a whole stream");
            self.text.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
        }
    }
}
