//! Headers that mirror the body (basic/transports/streamable-http; SEP-2243).

use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::mcp::{answer, tools};
use portcullis_integration::reply::Reply;
use serde_json::{Value, json};

const MIRRORED: &str =
    "  mirrored:\n    - servers: [up]\n      tools: [safe]\n      when: {region: caller.region}\n";

async fn calls(std: &Std, arguments: Value, headers: &[(&str, &str)]) -> (u16, Option<i64>) {
    let alice = std.alice();
    let request = alice.modern_request("tools/call", json!({"name": "safe", "arguments": arguments}));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = alice.send(request).await;
    (answer.status.as_u16(), answer.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_mirrors_nothing_known_passes_and_counts_for_nothing() {
    let std = Std::start();
    assert_eq!(calls(&std, json!({}), &[("Mcp-Param-Tenant", "b")]).await, (200, None));
    let seen = std.upstream.received("tools/call").pop().expect("the call");
    assert_eq!(seen.header("mcp-param-tenant"), ["b"]);
    let intent = std.gate.recorded("intent", "safe").pop().expect("on the record");
    assert_eq!(intent["tenant"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirrored_argument_is_held_to_its_header_by_value() {
    let std = Std::start();
    let (bad, good) = ((400, Some(-32020)), (200, None));
    for (arguments, headers, expected) in [
        (json!({"region": "EMEA"}), vec![("Mcp-Param-Region", "EMEA")], good),
        (json!({"region": "EMEA"}), vec![("Mcp-Param-Region", "APAC")], bad),
        (json!({"region": "EMEA"}), vec![("Mcp-Param-Region", "emea")], bad),
        (json!({"region": "EMEA"}), vec![], bad),
        (json!({"region": null}), vec![], good),
        (json!({}), vec![("Mcp-Param-Region", "EMEA")], bad),
        (json!({"count": 42}), vec![("Mcp-Param-Count", "42.0")], good),
        (json!({"count": 42}), vec![("Mcp-Param-Count", "43")], bad),
        (
            json!({"region": "Hello, 世界"}),
            vec![("Mcp-Param-Region", "=?base64?SGVsbG8sIOS4lueVjA==?=")],
            good,
        ),
        (json!({"region": "=?base64?literal?="}), vec![("Mcp-Param-Region", "=?base64?literal?=")], bad),
        (json!({"region": ""}), vec![("Mcp-Param-Region", "")], good),
    ] {
        std.upstream.forget();
        let shown = format!("{arguments} {headers:?}");
        assert_eq!(calls(&std, arguments, &headers).await, expected, "{shown}");
        assert_eq!(std.upstream.received("tools/call").len(), usize::from(expected == good), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_schema_still_says_which_arguments_are_mirrored() {
    let std = Std::prepared(|_| {}, |house| drop(house.tenant("a", &format!("{ROLES}{MIRRORED}"))));
    let list = std.alice_as(&["mirrored"], "EMEA").modern("tools/list", json!({})).await.result();
    let region = &list["tools"][0]["inputSchema"]["properties"]["region"];
    assert!(region.to_string().contains("EMEA"), "{region}");
    assert_eq!(region["x-mcp-header"], "Region", "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_with_a_bad_annotation_costs_no_other_tool() {
    let std = Std::start();
    std.upstream.answers(|e| {
        if e.rpc() != "tools/list" {
            return answer(e);
        }
        let mut all = tools();
        all[1]["inputSchema"]["properties"] = json!({"a": {"type": "object", "x-mcp-header": "not a token"}});
        let result = json!({"tools": all, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
        Reply::json(&json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": result}))
    });
    assert_eq!(std.alice().sees().await, ["safe"]);
    assert_eq!(calls(&std, json!({"region": "EMEA"}), &[("Mcp-Param-Region", "EMEA")]).await, (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_means_nothing_in_the_modern_era() {
    let std = Std::start();
    assert_eq!(
        calls(&std, json!({}), &[("Mcp-Session-Id", "made-up"), ("Last-Event-ID", "7")]).await,
        (200, None)
    );
    let seen = std.upstream.received("tools/call").pop().expect("the call");
    assert!(seen.header("mcp-session-id").is_empty() && seen.header("last-event-id").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_is_refused_does_not_look_like_a_server_of_the_legacy_era() {
    let std = Std::start();
    let probe = |change: fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder, method: &str| {
        let alice = std.alice();
        let request = change(alice.modern_request(method, json!({})));
        async move { alice.send(request).await }
    };
    let unknown = probe(|request| request, "x/unknown").await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (404, Some(-32601)));
    let twice = probe(|request| request.header("Mcp-Method", "tools/list"), "server/discover").await;
    assert_eq!((twice.status.as_u16(), twice.code()), (400, Some(-32020)));
    let stranger = std.agent("no-token").modern("server/discover", json!({})).await;
    assert_eq!(stranger.status, 401);
    let params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01", "io.modelcontextprotocol/clientCapabilities": {}}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": params});
    let alice = std.alice();
    let request =
        alice.post().header("MCP-Protocol-Version", "2099-01-01").header("Mcp-Method", "server/discover");
    let future = alice.send(request.json(&body)).await;
    assert_eq!((future.status.as_u16(), future.code()), (400, Some(-32022)), "{future:?}");
    let data = &future.message()["error"]["data"];
    assert!(data["supported"].to_string().contains("2026-07-28") && data["requested"] == "2099-01-01");
}
