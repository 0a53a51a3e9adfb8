//! The load: prepared requests over kept connections, each answer read to its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How the load is offered.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Each connection sends its next request as soon as the last is answered.
    Burst { connections: usize },
    /// Requests are due at fixed times, whether or not earlier ones are answered; latency counts from when one was due.
    Rate { connections: usize, per_second: f64 },
}

/// What came of it.
pub struct Outcome {
    pub calls: usize,
    pub wall: Duration,
    /// Latencies in microseconds, sorted.
    pub latencies: Vec<u32>,
}

/// Runs the load for `time` on a thread of its own.
pub fn run(address: SocketAddr, request: &[u8], pace: Pace, time: Duration) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connections = match pace {
            Pace::Burst { connections } | Pace::Rate { connections, .. } => connections,
        };
        let start = Instant::now() + Duration::from_millis(5);
        let tasks: Vec<_> = (0..connections)
            .map(|index| {
                let request = request.to_vec();
                let gap = match pace {
                    Pace::Burst { .. } => None,
                    Pace::Rate { connections, per_second } => Some((
                        Duration::from_secs_f64(connections as f64 / per_second),
                        Duration::from_secs_f64(index as f64 / per_second),
                    )),
                };
                tokio::spawn(connection(address, request, gap, start, time))
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.unwrap());
        }
        latencies.sort_unstable();
        Outcome { calls: latencies.len(), wall: time, latencies }
    })
}

async fn connection(
    address: SocketAddr,
    request: Vec<u8>,
    gap: Option<(Duration, Duration)>,
    start: Instant,
    time: Duration,
) -> Vec<u32> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut latencies = Vec::with_capacity(100_000);
    let mut buffer = Vec::with_capacity(128 * 1024);
    let mut due = start + gap.map(|(_, offset)| offset).unwrap_or_default();
    tokio::time::sleep_until(due.into()).await;
    while due < start + time {
        stream.write_all(&request).await.unwrap();
        let status = answer(&mut stream, &mut buffer).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&buffer));
        latencies.push(due.elapsed().as_micros() as u32);
        match gap {
            None => due = Instant::now(),
            Some((gap, _)) => {
                due += gap;
                if let Some(wait) = due.checked_duration_since(Instant::now()) {
                    precise_sleep(wait).await;
                }
            }
        }
    }
    latencies
}

/// Timers tick in milliseconds; the last of it is yielded away.
async fn precise_sleep(wait: Duration) {
    let until = Instant::now() + wait;
    if wait > Duration::from_millis(2) {
        tokio::time::sleep(wait - Duration::from_millis(2)).await;
    }
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

/// Reads one answer with a `Content-Length` or chunked body; its status.
pub async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> u16 {
    buffer.clear();
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "closed early");
    };
    let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
    let status: u16 = text.get(9..12).unwrap().parse().unwrap();
    match text.split("content-length: ").nth(1) {
        Some(rest) => {
            let length: usize = rest.split("\r\n").next().unwrap().trim().parse().unwrap();
            while buffer.len() < head + length {
                assert!(stream.read_buf(buffer).await.unwrap() > 0, "closed early");
            }
        }
        None => {
            while !buffer.ends_with(b"0\r\n\r\n") {
                assert!(stream.read_buf(buffer).await.unwrap() > 0, "closed early");
            }
        }
    }
    status
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
