//! Hints for caches (server/utilities/caching): a shared cache on the way must not mix callers.

use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::{answer, tools};
use portcullis_integration::reply::Reply;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_filtered_for_one_caller_is_private_and_a_list_is_stale_at_once() {
    let std = Std::start();
    for (method, params) in [
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("prompts/list", json!({})),
        ("server/discover", json!({})),
        ("resources/read", json!({"uri": "file:///pub/a"})),
    ] {
        let result = std.alice().modern(method, params).await.result();
        assert_eq!(result["cacheScope"], "private", "{method}");
        if method.ends_with("/list") {
            assert_eq!(result["ttlMs"], 0, "{method}: a policy may change at any time");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_private_and_one_without_items_leads_on() {
    let std = Std::start();
    std.upstream.answers(|e| {
        if e.rpc() != "tools/list" {
            return answer(e);
        }
        let (safe, danger) = (&tools()[0], &tools()[1]);
        // A server may say `public` on one page, nothing on another, and have an empty text for a cursor.
        let result = match e.message()["params"]["cursor"].as_str() {
            None => json!({"tools": [danger], "nextCursor": "", "cacheScope": "public", "ttlMs": 60000, "resultType": "complete"}),
            Some(_) => json!({"tools": [safe], "resultType": "complete"}),
        };
        Reply::json(&json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": result}))
    });
    let first = std.alice().modern("tools/list", json!({})).await.result();
    assert_eq!((&first["tools"], &first["nextCursor"]), (&json!([]), &json!("")), "{first}");
    let second = std.alice().modern("tools/list", json!({"cursor": ""})).await.result();
    assert_eq!(second["tools"][0]["name"], "safe");
    for page in [first, second] {
        assert_eq!((&page["cacheScope"], &page["ttlMs"]), (&json!("private"), &json!(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_never_given_twice() {
    let std = Std::start();
    for _ in 0..2 {
        assert!(std.alice().modern("resources/read", json!({"uri": "file:///pub/a"})).await.code().is_none());
    }
    assert_eq!(std.upstream.received("resources/read").len(), 2);
}
