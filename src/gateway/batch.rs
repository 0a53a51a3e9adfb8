//! A batch of a 2025-03-26 session: each message alone, the answers in one array.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;

use crate::decode::Message;
use crate::gateway::call::{Call, Way};
use crate::gateway::{Gateway, Relay};
use crate::inbound::Inbound;
use crate::respond::{Answer, Body};

impl Gateway {
    /// Answers a batch. Each message is judged, counted, recorded and sent on its own, as if it had come alone.
    pub(in crate::gateway) async fn batch<I: Inbound>(
        self: &Arc<Self>,
        inbound: &mut I,
        way: &Way,
        messages: Vec<Message>,
    ) -> Answer<Relay> {
        let mut answers = Vec::new();
        for message in messages {
            let mut call = Call::sibling(way, inbound.head().peer);
            let answer = match self.message(inbound, way, message, &mut call).await {
                Ok(answer) => answer,
                Err(refusal) => self.refuse(&refusal, call, None),
            };
            match answer.body {
                Body::Full(bytes) => answers.push(bytes),
                Body::Events(relay) => answers.extend(relay.collect().await),
                Body::Empty => {}
            }
        }
        match answers.is_empty() {
            true => Answer::empty(StatusCode::ACCEPTED),
            false => Answer::json(StatusCode::OK, array(&answers)),
        }
    }
}

fn array(answers: &[Bytes]) -> Bytes {
    let mut array = BytesMut::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    for (index, answer) in answers.iter().enumerate() {
        array.put_u8(if index == 0 { b'[' } else { b',' });
        array.extend_from_slice(answer);
    }
    array.put_u8(b']');
    array.freeze()
}
