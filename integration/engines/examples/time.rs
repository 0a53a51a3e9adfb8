//! What an answer costs in each engine on the stock policies, in CPU time. `cargo run --release --example time`.

use std::fs;
use std::hint::black_box;

use portcullis_engines::stock;
use serde_json::json;

const ROUNDS: usize = 15;
const TURNS: u32 = 300;

fn main() {
    let grants = json!([
        { "servers": ["records"], "tools": ["list_*", "get_*"], "methods": ["read"], "when": { "region": "caller.region" }, "redact": ["/rows/*/margin"] },
        { "servers": ["tag:erp"], "tools": ["*_invoice"], "methods": ["read"] },
        { "servers": ["sap"] },
    ]);
    let data = stock::data(
        &json!({ "acme": { "roles": { "manager": grants }, "deny": [{ "tools": ["*_delete_*"] }] } }),
    );
    let mut pair = stock::both().with(&data);
    for tool in ["list_invoices", "drop_everything"] {
        let input = stock::value(&json!({ "phase": "call", "method": "tools/call",
            "caller": { "tenant": "acme", "user": "alice", "roles": ["manager"], "groups": [], "attributes": { "region": "EMEA" },
                "authentication": { "kind": "jwt" } },
            "server": { "name": "records", "tags": ["erp"] },
            "tool": { "name": tool, "operation": "list", "class": "read", "tags": [], "pinned": true } }));
        let interpreter = best(|| drop(black_box(pair.interpret(&input))));
        let machine = best(|| drop(black_box(pair.run(&input))));
        println!(
            "{tool:<18} interpreter {interpreter:>7.1} µs   machine {machine:>7.1} µs   alike {}",
            pair.differ(&input).is_none()
        );
    }
}

/// Best CPU time of one turn, in µs.
fn best(mut one: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = cpu();
        (0..TURNS).for_each(|_| one());
        best = best.min((cpu() - start) / f64::from(TURNS));
    }
    best
}

/// This thread's CPU time, in µs. The kernel brings its books up to date when a thread yields.
fn cpu() -> f64 {
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1000.0
}
