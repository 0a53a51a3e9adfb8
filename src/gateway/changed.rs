//! What the gate itself says on a stream that belongs to no call, when policy or pins have changed: the lists that its caller
//! sees may be others now, and the server knows nothing of it.

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use crate::decode::{Action, Message, sse};

/// The events for the caller whose `asked` has opened the stream; `None`: they hear of no lists there.
pub(in crate::gateway) fn lists(asked: &Message) -> Option<Bytes> {
    let heard = match &asked.action {
        Action::OpenStream => [true; 3],
        Action::Listen(filter) => [filter.tools, filter.prompts, filter.resources],
        _ => return None,
    };
    let id = asked.id.as_ref().and_then(|id| serde_json::from_str::<&RawValue>(id.as_json()).ok());
    let event = |list| {
        let method = format!("notifications/{list}/list_changed");
        let message = match id {
            Some(id) => {
                let params = json!({"_meta": {"io.modelcontextprotocol/subscriptionId": id}});
                json!({"jsonrpc": "2.0", "method": method, "params": params})
            }
            None => json!({"jsonrpc": "2.0", "method": method}),
        };
        sse::message(message.to_string().as_bytes())
    };
    let lists = ["tools", "prompts", "resources"].into_iter().zip(heard).filter(|(_, heard)| *heard);
    let events: Vec<Bytes> = lists.map(|(list, _)| event(list)).collect();
    (!events.is_empty()).then(|| events.concat().into())
}
