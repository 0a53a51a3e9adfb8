//! What a large call costs in memory.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::fixture::{Fixture, Kind, call_of};
use super::load;
use super::process::Target;

const MOST: usize = 4 * 1024 * 1024;

/// By how many times the size of a call of 4 MiB a gate's resident memory grows at most while it passes. The gate is a
/// fresh one: what an earlier call has left free would hide it.
pub fn copies(fixture: &Fixture, server: SocketAddr) -> f64 {
    let gate = Target::gate(fixture, Kind::Large, server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for length in [60, 100 * 1024] {
            send(&gate, fixture, length).await;
        }
        gate.reset_peak();
        let before = gate.peak();
        let length = MOST - 1024;
        send(&gate, fixture, length).await;
        (gate.peak() - before) as f64 / length as f64
    })
}

async fn send(gate: &Target, fixture: &Fixture, length: usize) {
    let mut stream = TcpStream::connect(gate.address()).await.unwrap();
    stream.write_all(&fixture.call(&call_of(length))).await.unwrap();
    let mut buffer = Vec::new();
    let status = load::answer(&mut stream, &mut buffer).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&buffer));
    // A refusal of a tool call has status 200 as well.
    assert!(!buffer.windows(7).any(|window| window == b"refusal"), "{}", String::from_utf8_lossy(&buffer));
}
