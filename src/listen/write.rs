//! The answer, written: a document at once, a stream event by event with comments while it is silent.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::Error;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use tokio::sync::watch;

use crate::config::Limits;
use crate::gateway::{Gate, Relay};
use crate::listen::Drain;
use crate::listen::drain::Stage;
use crate::respond::{Answer, Body};

/// Writes `answer`; an error means that the client is gone.
pub(in crate::listen) async fn answer(
    session: &mut ServerSession,
    answer: Answer<Relay>,
    limits: &Limits,
    drain: &Drain,
    gate: &Gate,
) -> Result<(), Box<Error>> {
    let header = header(answer.status, answer.headers)?;
    let bodiless = session.req_header().method == http::Method::HEAD;
    match answer.body {
        Body::Empty => document(session, header, Bytes::new(), bodiless).await,
        Body::Full(bytes) => document(session, header, bytes, bodiless).await,
        Body::Events(relay) => events(session, header, relay, limits, drain, gate).await,
    }
}

/// Writes the answer to what could not be read as a request.
pub(in crate::listen) async fn unread(
    session: &mut ServerSession,
    answer: Answer<Relay>,
) -> Result<(), Box<Error>> {
    let header = header(answer.status, answer.headers)?;
    match answer.body {
        Body::Full(bytes) => document(session, header, bytes, false).await,
        Body::Empty | Body::Events(_) => document(session, header, Bytes::new(), false).await,
    }
}

fn header(status: StatusCode, fields: Vec<(HeaderName, HeaderValue)>) -> Result<ResponseHeader, Box<Error>> {
    let mut header = ResponseHeader::build_no_case(status, Some(fields.len() + 4))?;
    for (name, value) in fields {
        header.append_header(name, value)?;
    }
    // Answers are made for one caller: no cache may keep them, and no page that leads on may tell whence.
    header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    header
        .insert_header(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"))?;
    Ok(header)
}

async fn document(
    session: &mut ServerSession,
    mut header: ResponseHeader,
    body: Bytes,
    bodiless: bool,
) -> Result<(), Box<Error>> {
    header.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    session.write_response_header(Box::new(header)).await?;
    if !bodiless && !body.is_empty() {
        session.write_response_body(body, true).await?;
    }
    session.finish_body().await
}

async fn events(
    session: &mut ServerSession,
    mut header: ResponseHeader,
    mut relay: Box<Relay>,
    limits: &Limits,
    drain: &Drain,
    gate: &Gate,
) -> Result<(), Box<Error>> {
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))?;
    header.insert_header(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))?;
    if session.as_http1().is_some() {
        header.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    let (mut stage, mut changes) = (drain.watch(), gate.changes());
    let written = async {
        session.write_response_header(Box::new(header)).await?;
        while let Some(event) = next(session, &mut relay, limits, (&mut stage, &mut changes), gate).await? {
            session.write_response_body(event, false).await?;
        }
        session.write_response_body(Bytes::new(), true).await?;
        session.finish_body().await
    }
    .await;
    if written.is_err() {
        relay.client_gone().await;
    }
    written
}

/// The next event, with comments written while there is none; `None` at the end of the stream. On a stream that belongs to no
/// call the gate says when lists may have changed. It also ends, at the next event or comment, when its account is gone or its tenant is no longer served.
async fn next(
    session: &mut ServerSession,
    relay: &mut Relay,
    limits: &Limits,
    (stage, changes): (&mut watch::Receiver<Stage>, &mut watch::Receiver<()>),
    gate: &Gate,
) -> Result<Option<Bytes>, Box<Error>> {
    let changed = relay.changed();
    let over = if relay.is_standing() { Stage::Draining } else { Stage::Over };
    let stands_on = relay.stands_on();
    let stays = async || match &stands_on {
        None => true,
        Some((tenant, server)) => gate.current().directory().stands(tenant, server).await,
    };
    let event = relay.next();
    tokio::pin!(event);
    loop {
        tokio::select! {
            biased;
            event = &mut event => return Ok(if stays().await { event } else { None }),
            () = reached(stage, over) => return Ok(None),
            // The sender lives as long as the gate.
            Ok(()) = changes.changed(), if changed.is_some() => {
                session.write_response_body(changed.clone().unwrap_or_default(), false).await?;
            }
            gone = session.read_body_or_idle(true) => {
                gone?;
            }
            () = tokio::time::sleep(limits.stream_keepalive) => {
                if !stays().await {
                    return Ok(None);
                }
                session.write_response_body(Bytes::from_static(b":\r\n\r\n"), false).await?;
            }
        }
    }
}

/// Resolves when the stop has come so far.
async fn reached(stage: &mut watch::Receiver<Stage>, over: Stage) {
    // The sender lives as long as the gate.
    let _ = stage.wait_for(|stage| *stage >= over).await;
}
