//! A store is brought from a file to Redis and back, by command.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use portcullis_integration::agent::Agent;
use portcullis_integration::binary::portcullis;
use portcullis_integration::fixture::Std;
use portcullis_integration::gate::House;
use portcullis_integration::redis::Redis;
use serde_json::{Value, json};

fn state(house: &House, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(portcullis());
    command.arg("state").args(arguments).current_dir(house.path(""));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn done(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn keep_in(house: &House, state: Value) {
    let text = std::fs::read_to_string(house.path("portcullis.yaml")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["state"] = state;
    house.write("portcullis.yaml", &config.to_string());
}

const SECRET: &[u8] = b"token-of-a-at-up-that-must-not-be-seen";

#[tokio::test(flavor = "multi_thread")]
async fn urls_and_sealed_secrets_go_from_a_file_to_redis_and_back() {
    let redis = Redis::start();
    let std = Std::start_with(|config| config["accounts"][0]["credential"] = json!({"bearer": "sealed"}));
    let (_, path) =
        std.gate.create_url(&json!({"tenant": "a", "server": "up", "roles": ["reader"], "expires_at": "2099-01-01T00:00:00Z"})).await;
    let upstream = &std.upstream;
    let house = std.gate.kill();
    let mut sealing = Command::new(portcullis());
    sealing.args(["account", "set-secret", "a", "up"]).current_dir(house.path(""));
    let mut child = sealing.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(SECRET).unwrap();
    assert!(child.wait().unwrap().success());

    let exported = done(state(&house, &["export"], b""));
    let text = String::from_utf8(exported.clone()).unwrap();
    assert!(text.starts_with("{\"portcullis_state\":1}\n"), "{text}");
    assert!(
        !text.contains(std::str::from_utf8(SECRET).unwrap()) && !text.contains("dG9rZW4tb2Y"),
        "it stays sealed"
    );

    keep_in(&house, json!({"directory": "state", "url": format!("redis://127.0.0.1:{}", redis.port())}));
    done(state(&house, &["import"], &exported));
    let again = refused(&state(&house, &["import"], &exported));
    assert!(again.contains("not empty") && again.contains("--replace"), "{again}");
    done(state(&house, &["import", "--merge"], &exported));
    done(state(&house, &["import", "--replace"], &exported));
    let gate = house.open(1);
    upstream.forget();
    let answer = Agent::new(&format!("{}{path}", gate.url), None).calls("safe", json!({})).await;
    assert_eq!(answer.status, 200, "the URL works");
    let seen = String::from_utf8_lossy(&upstream.bytes()).into_owned();
    assert!(seen.contains(std::str::from_utf8(SECRET).unwrap()), "and the secret was opened");

    let back = done(state(gate.house(), &["export"], b""));
    let house = gate.kill();
    keep_in(&house, json!({"directory": "state"}));
    std::fs::remove_file(house.path("state/portcullis.redb")).unwrap();
    done(state(&house, &["import"], &back));
    let gate = house.open(1);
    let answer = Agent::new(&format!("{}{path}", gate.url), None).calls("safe", json!({})).await;
    assert_eq!(answer.status, 200);
    assert!(refused(&state(gate.house(), &["export"], b"")).contains("in use"), "a file has one process");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_cut_off_or_of_another_version_changes_nothing() {
    let std = Std::start();
    std.gate.create_url(&json!({"tenant": "a", "server": "up", "roles": ["reader"]})).await;
    let house = std.gate.kill();
    let exported = done(state(&house, &["export"], b""));
    let lines: Vec<&[u8]> = exported.split_inclusive(|byte| *byte == b'\n').collect();
    let cut = lines[..lines.len() - 1].concat();
    let gap = [lines[0], lines[lines.len() - 1]].concat();
    let newer = [b"{\"portcullis_state\":9}\n".as_slice(), &lines[1..].concat()].concat();
    for (input, why) in
        [(cut, "cut off"), (gap, "are here"), (newer, "its schema is 9"), (b"{}".to_vec(), "not an export")]
    {
        let said = refused(&state(&house, &["import", "--replace"], &input));
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(done(state(&house, &["export"], b"")), exported);
}
