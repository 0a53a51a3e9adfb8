//! Bytes on a socket, where a well-behaved client cannot send them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the first byte of an answer may take; some never get one.
const FIRST: Duration = Duration::from_secs(20);

/// What came back over a raw connection.
#[derive(Debug)]
pub struct Raw {
    /// Everything that was read.
    pub bytes: Vec<u8>,
    /// Whether the other end closed the connection (or reset it).
    pub closed: bool,
}

impl Raw {
    /// The statuses of all answers in it.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines = text.split("HTTP/1.").skip(1);
        lines.filter_map(|l| l.get(2..5).and_then(|s| s.parse().ok())).collect()
    }
}

/// Sends the bytes at once and reads until the other end closes, or is silent for two seconds after an answer.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> Raw {
    let mut socket = TcpStream::connect(to).await.expect("the gate listens");
    drop(socket.write_all(bytes).await); // the gate may refuse before it has read all
    read(&mut socket, Duration::from_secs(2)).await
}

/// Sends one byte per `pause` until the other end closes or `give_up` has passed.
pub async fn drip(to: SocketAddr, bytes: &[u8], pause: Duration, give_up: Duration) -> Raw {
    let mut socket = TcpStream::connect(to).await.expect("the gate listens");
    let (mut reader, mut writer) = socket.split();
    let mut answer = Raw { bytes: Vec::new(), closed: false };
    let send = async {
        for byte in bytes.iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    };
    let receive = async {
        answer.closed = !matches!(reader.read_to_end(&mut answer.bytes).await, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
    };
    drop(
        tokio::time::timeout(give_up, async {
            tokio::select! { () = send => (), () = receive => () }
        })
        .await,
    );
    answer
}

async fn read(socket: &mut TcpStream, silence: Duration) -> Raw {
    let mut answer = Raw { bytes: Vec::new(), closed: false };
    let mut part = vec![0; 64 * 1024];
    loop {
        let wait = if answer.bytes.is_empty() { FIRST } else { silence };
        match tokio::time::timeout(wait, socket.read(&mut part)).await {
            Ok(Ok(0) | Err(_)) => break answer.closed = true,
            Ok(Ok(n)) => answer.bytes.extend_from_slice(&part[..n]),
            Err(_) => break,
        }
    }
    answer
}
