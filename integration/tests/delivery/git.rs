//! Policies from a git repository, over its own protocol on this machine.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use portcullis_integration::binary::portcullis;
use portcullis_integration::fixture::ROLES;
use portcullis_integration::git::{Person, Repository};
use portcullis_integration::issuer::Issuer;
use portcullis_integration::process::Process;
use portcullis_integration::upstream::Upstream;
use serde_json::{Value, json};

use crate::{again, decided_by, gate, house, note, sees};

fn more() -> String {
    ROLES.replace("[safe]", "[safe, danger]")
}

fn from(repository: &Repository) -> Value {
    json!({"git": {"url": repository.path(), "path": "policies", "every": "1s", "signers": "signers"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_commit_serves_and_the_next_one_follows_and_each_decision_names_its_commit() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(ROLES));
    let first = repository.commit(Some(&security));
    let std = gate(from(&repository), &[("signers", &security.allowed())]);
    assert_eq!(std.alice().sees().await, ["safe"]);
    assert_eq!(decided_by(&std).await, format!("git:{first}"));
    repository.tenant("a", &more());
    let second = repository.commit(Some(&security));
    sees(&std, &["safe", "danger"]).await;
    assert_eq!(decided_by(&std).await, format!("git:{second}"));
    let (_, metrics) = std.gate.admin("/metrics").await;
    assert!(metrics.contains(r#"portcullis_policy_fetches_total{outcome="new"} 2"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_trusted_signed_is_refused_whole_and_what_was_good_serves_on() {
    let (security, stranger) = (Person::new("security@a.example"), Person::new("mallory@a.example"));
    let repository = Repository::stock(ROLES);
    let first = repository.commit(Some(&security));
    let mut std = gate(from(&repository), &[("signers", &security.allowed())]);
    repository.tenant("a", &more());
    for person in [None, Some(&stranger)] {
        let bad = repository.commit(person);
        note(&std.gate, &format!("{bad} is not signed by any of the signers")).await;
        assert_eq!(std.alice().sees().await, ["safe"]);
    }
    std.gate.logged(&["not signed by any of the signers", "the old one serves"]);
    assert_eq!(decided_by(&std).await, format!("git:{first}"));
    repository.commit(Some(&security));
    sees(&std, &["safe", "danger"]).await;
    let (_, ready) = std.gate.admin("/readyz").await;
    assert!(!ready.contains("signers"), "it is mended: {ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_can_push_brings_back_a_commit_that_was_signed_once() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(&more()));
    let generous = repository.commit(Some(&security));
    repository.tenant("a", ROLES);
    repository.commit(Some(&security));
    let std = gate(from(&repository), &[("signers", &security.allowed())]);
    repository.git(&["reset", "--quiet", "--hard", &generous]);
    note(&std.gate, "does not descend from").await;
    assert_eq!(std.alice().sees().await, ["safe"]);
    let std = again(std);
    note(&std.gate, "does not descend from").await;
    assert_eq!(std.alice().sees().await, ["safe"], "a restart took it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_commit_keeps_the_one_before_it_and_says_where_it_is_broken() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(ROLES));
    repository.commit(Some(&security));
    let std = gate(from(&repository), &[("signers", &security.allowed())]);
    repository.tenant("a", "roles: {reader: [{servers: [up], tols: [safe]}]}\n");
    repository.commit(Some(&security));
    let told = note(&std.gate, "tols").await;
    assert!(told.contains("tenants/a/data.yaml:1:") && !told.contains("revisions/"), "{told}");
    assert_eq!(std.alice().sees().await, ["safe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_the_repository_serves_what_was_kept_if_it_is_still_signed() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(ROLES));
    let first = repository.commit(Some(&security));
    let std = gate(from(&repository), &[("signers", &security.allowed())]);
    drop(repository);
    let std = again(std);
    assert_eq!(decided_by(&std).await, format!("git:{first}"));
    note(&std.gate, "serves on").await;
    // Whoever takes the key from the signers means what it signed.
    let house = std.gate.kill();
    house.write("signers", &Person::new("security@a.example").allowed());
    let mut process = house.run();
    assert!(!process.wait().success());
    let said = process.output();
    assert!(said.contains("there is no policy to serve") && said.contains("not signed by any"), "{said}");
}

#[test]
fn without_the_repository_and_without_anything_kept_the_gate_does_not_start() {
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let house = house(&upstream, &issuer, json!({"git": {"url": "/nowhere/at/all", "every": "1s"}}));
    let mut process = house.run();
    assert!(!process.wait().success());
    let said = process.output();
    assert!(said.contains("there is no policy to serve") && said.contains("/nowhere/at/all"), "{said}");
    assert!(!said.contains("listening"), "{said}");
}

#[test]
fn a_gate_is_started_in_its_own_directory_as_people_do() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(ROLES));
    let commit = repository.commit(Some(&security));
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let house = house(&upstream, &issuer, from(&repository));
    house.write("signers", &security.allowed());
    let mut command = Command::new(portcullis());
    command.arg("run").current_dir(house.path("."));
    let mut process = Process::start("portcullis", command);
    process.until("the commit", |lines| lines.iter().any(|line| line.contains(&commit)).then_some(()));
    process.until("its address", |lines| lines.iter().any(|line| line.contains("listening")).then_some(()));
    process.signal("KILL");
    process.wait();
    drop(repository);
    let checked = house.command(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains(&format!("checked is git:{commit}")), "{checked:?}");
    house.write("signers", &Person::new("security@a.example").allowed());
    assert_eq!(house.command(&["check"]).status.code(), Some(3), "a commit that nobody signed is valid");
    house.write("signers", "# nobody\n");
    refused(&house.command(&["check"]), "names no signer");
}

/// A repository that lets everybody wait.
#[test]
fn a_start_that_waits_for_the_repository_ends_when_it_is_told_to() {
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/p.git", silent.local_addr().expect("an address"));
    let house = house(&upstream, &issuer, json!({"git": {"url": url}}));
    let mut process = house.run();
    let _connection = silent.accept().expect("git comes");
    process.signal("TERM");
    let began = Instant::now();
    assert!(process.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// What `policy pull` says of a repository with these keys in its source.
fn pulled(repository: &Repository, signers: &str, source: &Value) -> Output {
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let mut git = json!({"url": repository.path(), "path": "policies", "signers": "signers"});
    for (key, value) in source.as_object().expect("keys") {
        git[key] = value.clone();
    }
    let house = house(&upstream, &issuer, json!({"git": git}));
    house.write("signers", signers);
    house.command(&["policy", "pull", "--output", "json"])
}

fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains(why), "{why}: {output:?}");
}

#[test]
fn a_tag_counts_by_its_own_signature_and_under_its_own_name() {
    let (security, stranger) = (Person::new("security@a.example"), Person::new("mallory@a.example"));
    let (repository, signers) = (Repository::stock(ROLES), security.allowed());
    let commit = repository.commit(None);
    repository.tag("v1", Some(&security));
    let output = pulled(&repository, &signers, &json!({"tag": "v1"}));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(said["revision"], format!("git:{commit}"));
    assert_eq!(said["signed_by"], "security@a.example");
    repository.commit(Some(&security));
    repository.tag("v2", Some(&stranger));
    refused(&pulled(&repository, &signers, &json!({"tag": "v2"})), "not signed by any of the signers");
    repository.tag("v3", None);
    refused(&pulled(&repository, &signers, &json!({"tag": "v3"})), "not signed by any of the signers");
    repository.git(&["tag", "v4"]);
    refused(&pulled(&repository, &signers, &json!({"tag": "v4"})), "no annotated tag");
    repository.git(&["update-ref", "refs/tags/v5", "refs/tags/v1"]);
    refused(&pulled(&repository, &signers, &json!({"tag": "v5"})), "made for something else");
    repository.git(&["branch", "v6"]);
    assert_eq!(
        pulled(&repository, &signers, &json!({"tag": "v6"})).status.code(),
        Some(1),
        "a branch is no tag"
    );
}

#[test]
fn links_submodules_and_directories_that_are_not_there_are_refused() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(ROLES));
    let signers = security.allowed();
    repository.commit(Some(&security));
    refused(&pulled(&repository, &signers, &json!({"path": "elsewhere"})), "no directory `elsewhere`");
    std::os::unix::fs::symlink("/etc", repository.path().join("policies/etc")).expect("a link");
    repository.commit(Some(&security));
    refused(&pulled(&repository, &signers, &json!({})), "`etc` is a link");
    std::fs::remove_file(repository.path().join("policies/etc")).expect("it is there");
    let head = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},policies/ours")]);
    std::fs::create_dir(repository.path().join("policies/ours")).expect("a directory");
    repository.commit(Some(&security));
    refused(&pulled(&repository, &signers, &json!({})), "is a submodule");
}

#[test]
fn a_commit_that_is_signed_by_another_program_is_not_signed() {
    let (security, repository) = (Person::new("security@a.example"), Repository::stock(ROLES));
    repository.commit(Some(&security));
    // The signature of another kind brings its own program, which says yes to everything.
    let yes = "#!/bin/sh\necho '[GNUPG:] GOODSIG 1 x'\necho '[GNUPG:] TRUST_ULTIMATE'\necho 'Good \"git\" signature for x with y'\n";
    repository.write("yes", yes);
    let raw = repository.git(&["cat-file", "commit", "HEAD"]);
    let pgp = raw
        .replace("-----BEGIN SSH SIGNATURE-----", "-----BEGIN PGP SIGNATURE-----")
        .replace("-----END SSH SIGNATURE-----", "-----END PGP SIGNATURE-----");
    repository.write("raw", &format!("{pgp}\n"));
    let forged = repository.git(&["hash-object", "-t", "commit", "-w", "raw"]);
    repository.git(&["update-ref", "refs/heads/main", &forged]);
    repository.git(&["config", "gpg.program", &repository.path().join("yes").display().to_string()]);
    refused(&pulled(&repository, &security.allowed(), &json!({})), "not signed by any of the signers");
}
