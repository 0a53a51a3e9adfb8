//! Every mistake with what the operator is told, to the letter: `wrong.txt`.

use super::super::*;
use super::{TestEnv, plain, written};

#[test]
fn every_mistake_is_told_with_its_place_and_what_would_be_right() {
    let cases: Vec<&str> = include_str!("wrong.txt").split("====\n").collect();
    assert!(cases.len() > 80, "{}", cases.len());
    for case in cases {
        let (text, expected) = case.split_once("\n----\n").unwrap();
        let (directory, file) = written(text);
        let errors = Config::load(&file, &TestEnv).expect_err(text);
        let told: Vec<String> = errors.iter().map(|error| plain(error, directory.path())).collect();
        assert_eq!(told, expected.lines().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn what_is_allowed_but_should_be_known_is_a_warning() {
    let told = |text: &str| {
        let (directory, file) = written(text);
        let (_, warnings) = Config::load(&file, &TestEnv).unwrap();
        warnings.iter().map(|warning| plain(warning, directory.path())).collect::<Vec<_>>()
    };
    let server = "servers: {erp: {url: http://erp.example/mcp}}\n";
    assert_eq!(
        told(&format!(
            "{server}accounts: [{{tenant: acme, server: erp, credential: {{bearer: {{inline: a}}}}}}]"
        )),
        [
            "portcullis.yaml:2:40: accounts[0].credential: goes to `erp.example` over cleartext; use `https` for this server",
            "portcullis.yaml:2:70: accounts[0].credential.bearer.inline: the secret stands in the configuration; use `sealed` or `{file: …}`",
        ]
    );
    assert_eq!(
        told(&format!(
            "{server}admin: {{address: 0.0.0.0:9901}}\nlisten: [{{address: 0.0.0.0:80}}]\npublic_url: http://gate.example"
        )),
        [
            "portcullis.yaml:2:18: admin.address: `0.0.0.0:9901` is reachable from other machines, and the admin listener speaks cleartext; use a loopback address such as `127.0.0.1:9901`, give it `tls`, or keep others out by other means",
            "portcullis.yaml:4:13: public_url: agents send their tokens over cleartext; give the listener `tls`, or let a proxy speak TLS and write `https` here",
        ]
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for credential in [
        "{bearer: hunter2}",
        "hunter2",
        "{bearer: {inline: [hunter2]}}",
        "{basic: {user: u, password: hunter2}}",
    ] {
        let (_directory, file) = written(&format!(
            "{}accounts: [{{tenant: acme, server: erp, credential: {credential}}}]\n",
            super::SERVER
        ));
        let errors = Config::load(&file, &TestEnv).expect_err(credential);
        assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
    }
}
