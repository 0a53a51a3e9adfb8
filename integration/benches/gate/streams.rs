//! What an idle stream of events costs in memory.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::fixture::Fixture;
use super::process::Target;

/// Opens `many` streams through the gate, and says by how many bytes of resident memory each has made it grow.
pub fn bytes_per_stream(target: &Target, fixture: &Fixture, many: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let before = target.usage().rss;
        let mut open = Vec::with_capacity(many);
        for _ in 0..many {
            let mut stream = TcpStream::connect(target.address()).await.unwrap();
            stream.write_all(&fixture.open_stream()).await.unwrap();
            let mut buffer = Vec::new();
            head(&mut stream, &mut buffer).await;
            open.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let after = target.usage().rss;
        (after - before) as f64 / many as f64
    })
}

async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    use tokio::io::AsyncReadExt;
    while !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "closed early");
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(buffer));
}
