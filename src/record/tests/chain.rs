use super::*;

#[tokio::test]
async fn a_call_is_on_the_record_before_it_is_made_and_its_outcome_after() {
    let gate = Gate::new();
    let record = gate.start();
    let permit = call("list_invoices", r#"{"customer":"very-secret-4711"}"#);
    let entry = record.open(Intent { permit: &permit, circumstances: &circumstances() }).await.unwrap();
    let intent = gate.lines().pop().unwrap();
    let result = Some(record.macs().of(b"a result"));
    entry.close(Outcome { result, bytes: 8, ..Outcome::bare(Status::Ok) });
    record.stop();
    let outcome = &gate.lines()[2];
    let said: BTreeMap<&str, &Value> =
        ["kind", "tenant", "user", "tool", "server", "method", "authn", "source_ip"]
            .map(|key| (key, &intent[key]))
            .into();
    let expected = [
        ("kind", "intent"),
        ("tenant", "acme"),
        ("user", "alice@acme.example"),
        ("tool", "list_invoices"),
        ("server", "erp"),
        ("method", "tools/call"),
        ("authn", "api_key"),
        ("source_ip", "127.0.0.1"),
    ];
    for (key, value) in expected {
        assert_eq!(said[key], value, "{key}");
    }
    assert_eq!(intent["args"].as_str().unwrap().len(), 64);
    assert_eq!((&outcome["status"], &outcome["invocation"]), (&Value::from("ok"), &intent["invocation"]));
    assert!(outcome["duration_us"].is_u64());
}

#[tokio::test]
async fn arguments_and_results_never_reach_the_record() {
    let gate = Gate::new();
    let record = gate.start();
    let permit = call("list_invoices", r#"{"customer":"very-secret-4711"}"#);
    let entry = record.open(Intent { permit: &permit, circumstances: &circumstances() }).await.unwrap();
    let mut stream = record.macs().begin();
    stream.update(b"very-secret");
    stream.update(b"-4711");
    entry.close(Outcome { result: Some(stream.finish()), ..Outcome::bare(Status::Ok) });
    let refusal = Refusal::BadParams("very-secret-4711 is no customer".to_owned());
    let line = RefusalLine::new(Invocation::new(), &refusal, HERE);
    record.refused(&RefusalLine { arguments: Some(b"very-secret-4711"), ..line });
    record.stop();
    let text: String = gate.segments().iter().map(|p| fs::read_to_string(p).unwrap()).collect();
    assert!(!text.contains("4711"), "{text}");
    let lines = gate.lines();
    assert_eq!(lines[2]["result"], lines[3]["args"], "the same bytes have the same keyed hash");
}

#[tokio::test]
async fn the_same_arguments_hash_differently_at_another_gate() {
    let (one, other) = (Macs::derive(&Key::new(vec![1; 32])), Macs::derive(&Key::new(vec![2; 32])));
    let hash = |macs: &Macs| serde_json::to_string(&macs.of(b"{}")).unwrap();
    assert_ne!(hash(&one), hash(&other));
    assert_eq!(hash(&one), hash(&Macs::derive(&Key::new(vec![1; 32]))));
}

#[tokio::test]
async fn a_callers_text_cannot_forge_a_line() {
    let gate = Gate::new();
    let record = gate.start();
    let forged = "x\n{\"kind\":\"intent\",\"msg\":\"allowed\"}\u{1b}[31m";
    let refusal = Refusal::UnknownMethod(forged.to_owned());
    let line = RefusalLine::new(Invocation::new(), &refusal, HERE);
    record.refused(&RefusalLine { client: Some(forged), about: About::Tool(forged), ..line });
    record.stop();
    assert_eq!(gate.kinds(), ["opened", "refused", "closed"]);
    let text = fs::read_to_string(&gate.segments()[0]).unwrap();
    assert!(!text.contains('\u{1b}'));
    assert_eq!(gate.lines()[1]["client"], forged);
}

#[tokio::test]
async fn a_call_that_nobody_closes_is_abandoned() {
    let gate = Gate::new();
    let record = gate.start();
    drop(opened(&record).await.unwrap());
    record.stop();
    assert_eq!(gate.lines()[2]["status"], "abandoned");
}

#[tokio::test]
async fn a_denial_keeps_the_policys_words_and_rules() {
    let gate = Gate::new();
    let record = gate.start();
    let refusal = Refusal::Denied { code: Some("limit".into()), message: "over 10,000".into() };
    let revision = Revision::parse("r9").unwrap();
    let caller = caller_for_test("acme", "alice", &["reader"]);
    let line = RefusalLine::new(Invocation::new(), &refusal, HERE);
    record.refused(&RefusalLine {
        caller: Some(&caller),
        about: About::Tool("post_payment"),
        method: Some("tools/call"),
        revision: Some(&revision),
        ..line
    });
    record.stop();
    let line = &gate.lines()[1];
    let said =
        ["kind", "reason", "code", "message", "tool", "revision", "tenant"].map(|key| line[key].as_str());
    let expected = ["refused", "denied", "limit", "over 10,000", "post_payment", "r9", "acme"];
    assert_eq!(said.map(Option::unwrap), expected);
}

#[tokio::test]
async fn the_chain_goes_on_over_segments_and_restarts() {
    let gate = Gate::with(Fsync::Always, 4096);
    for _ in 0..3 {
        let record = gate.start();
        calls(&record, 12).await;
        record.stop();
    }
    let report = gate.verify();
    assert!(report.is_whole(), "{:?}", report.findings);
    assert!(report.segments > 5, "{}", report.segments);
    assert_eq!((report.lines, report.unfinished, report.open), (report.last, 0, false));
    let lines = gate.lines();
    assert_eq!(lines.iter().filter(|line| line["kind"] == "intent").count(), 36);
    assert!(!gate.kinds().contains(&"recovered".to_owned()));
    let opened: Vec<_> = lines.iter().filter(|line| line["kind"] == "opened").collect();
    assert_eq!(opened[1]["previous"], opened[0]["segment"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_are_each_recorded_once() {
    let gate = Gate::new();
    let record = Arc::new(gate.start());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let record = Arc::clone(&record);
            tokio::spawn(async move { calls(&record, 50).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    record.stop();
    let report = gate.verify();
    assert!(report.is_whole(), "{:?}", report.findings);
    let count = |kind: &str| gate.kinds().iter().filter(|k| *k == kind).count();
    assert_eq!((count("intent"), count("outcome"), report.unfinished), (800, 800, 0));
}

#[tokio::test]
async fn a_second_gate_is_kept_out_of_the_directory() {
    let gate = Gate::new();
    let _record = gate.start();
    let error = gate.try_start().err().unwrap().to_string();
    assert!(error.contains("in use by another gate"), "{error}");
}

#[tokio::test]
async fn another_gates_directory_is_refused_at_start() {
    let gate = Gate::new();
    gate.start().stop();
    fs::remove_file(gate.root.path().join("audit.key")).unwrap();
    let error = gate.try_start().err().unwrap().to_string();
    assert!(error.contains("another gate's chain"), "{error}");
}

#[tokio::test]
async fn a_running_gates_chain_verifies_and_says_what_is_open() {
    let gate = Gate::new();
    let record = gate.start();
    let _entry = opened(&record).await.unwrap();
    until(|| gate.directory().join("HEAD").exists()).await;
    let report = gate.verify();
    assert!(report.is_whole(), "{:?}", report.findings);
    assert!(report.open && report.unfinished == 1);
}
