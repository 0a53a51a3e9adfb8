use super::*;

/// What a gate leaves behind that is killed: no last line, no `HEAD` of the end.
async fn killed(gate: &Gate) {
    let record = gate.start();
    calls(&record, 5).await;
    let entry = opened(&record).await.unwrap();
    until(|| gate.lines().len() == 12 && gate.directory().join("HEAD").exists()).await;
    let (segment, head) = (gate.segments().pop().unwrap(), gate.directory().join("HEAD"));
    let (text, said) = (fs::read(&segment).unwrap(), fs::read(&head).unwrap());
    drop(entry);
    drop(record);
    fs::write(segment, text).unwrap();
    fs::write(head, said).unwrap();
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn after_kill_9_the_torn_line_goes_and_the_chain_goes_on() {
    let gate = Gate::new();
    killed(&gate).await;
    append(&gate.segments()[0], br#"{"seq":13,"time":"2026-"#);
    let record = gate.start();
    calls(&record, 1).await;
    record.stop();
    let report = gate.verify();
    assert!(report.is_whole(), "{:?}", report.findings);
    let lines = gate.lines();
    let recovered = lines.iter().find(|line| line["kind"] == "recovered").unwrap();
    assert_eq!(
        (&recovered["truncated_bytes"], &recovered["unfinished"]),
        (&Value::from(23), &Value::from(1))
    );
    assert_eq!((report.unfinished, gate.segments().len()), (0, 1));
    let unknown: Vec<_> = lines.iter().filter(|line| line["status"] == "unknown").collect();
    assert_eq!((unknown.len(), &unknown[0]["tenant"]), (1, &Value::from("acme")));
    assert_eq!(unknown[0]["invocation"], lines[11]["invocation"]);
}

#[tokio::test]
async fn no_acknowledged_line_is_lost_wherever_the_crash_tears_the_last_one() {
    let gate = Gate::new();
    killed(&gate).await;
    let segment = gate.segments().pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let head = fs::read(gate.directory().join("HEAD")).unwrap();
    let torn = br#"{"seq":13,"time":"2026-11-21T11:22:33.000000Z","prev":"00"}"#;
    for cut in [0, 1, 20, torn.len()] {
        fs::write(&segment, [&whole[..], &torn[..cut]].concat()).unwrap();
        fs::write(gate.directory().join("HEAD"), &head).unwrap();
        gate.start().stop();
        let text = fs::read(&segment).unwrap();
        assert!(text.starts_with(&whole));
        assert!(gate.verify().is_whole(), "{:?}", gate.verify().findings);
    }
}

#[tokio::test]
async fn a_segment_that_a_crash_left_empty_does_no_harm() {
    let gate = Gate::new();
    gate.start().stop();
    fs::write(gate.directory().join("audit-000000000003-20260101T000000Z.jsonl"), "").unwrap();
    gate.start().stop();
    assert!(gate.verify().is_whole());
    assert_eq!(gate.kinds(), ["opened", "closed", "opened", "closed"]);
}

#[tokio::test]
async fn lines_that_were_cut_off_before_a_start_stay_missing_for_ever() {
    let gate = Gate::new();
    let record = gate.start();
    calls(&record, 5).await;
    drop(record);
    let segment = gate.segments().pop().unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    let kept: String = text.lines().take(6).map(|line| format!("{line}\n")).collect();
    fs::write(&segment, kept).unwrap();
    gate.start().stop();
    let report = gate.verify();
    let missing = verify::Wrong::Missing { from: 7, to: 12 };
    assert!(report.findings.iter().any(|f| f.what == missing), "{:?}", report.findings);
}

#[tokio::test]
async fn a_damaged_segment_is_kept_as_evidence_and_a_new_one_begins() {
    let gate = Gate::new();
    killed(&gate).await;
    let segment = gate.segments().pop().unwrap();
    let mut text = fs::read(&segment).unwrap();
    text[900] ^= 1;
    fs::write(&segment, &text).unwrap();
    gate.start().stop();
    assert_eq!((fs::read(&segment).unwrap(), gate.segments().len()), (text, 2));
    assert!(!gate.verify().is_whole());
}

#[tokio::test]
async fn a_full_disk_refuses_calls_leaves_no_torn_line_and_heals_by_itself() {
    let gate = Gate::new();
    let record = gate.start();
    let before = opened(&record).await.unwrap();
    disk::limit(gate.directory(), Some(40));
    assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
    let why = record.health().unwrap_err();
    assert!(why.contains("cannot write") && why.contains("audit-"), "{why}");
    assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
    before.close(Outcome::bare(Status::Ok));
    assert!(fs::read(&gate.segments()[0]).unwrap().ends_with(b"}\n"));
    disk::limit(gate.directory(), None);
    until(|| record.health().is_ok()).await;
    calls(&record, 1).await;
    record.stop();
    let report = gate.verify();
    assert!(report.is_whole(), "{:?}", report.findings);
    let kinds = gate.kinds();
    assert_eq!(kinds[..4], ["opened", "intent", "recovered", "outcome"]);
    assert_eq!((report.unfinished, kinds.iter().filter(|k| *k == "intent").count()), (0, 2));
}

#[tokio::test]
async fn what_was_kept_through_a_fault_is_written_once_though_the_disk_refuses_to_keep_it() {
    let gate = Gate::new();
    let record = gate.start();
    let before = opened(&record).await.unwrap();
    disk::limit(gate.directory(), Some(40));
    disk::mood(gate.directory(), Some(Mood::Fails));
    assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
    before.close(Outcome::bare(Status::Ok));
    disk::limit(gate.directory(), None);
    // Two attempts that were written and could not be forced to the disk.
    until(|| gate.kinds().iter().filter(|kind| *kind == "recovered").count() >= 2).await;
    assert!(record.health().is_err());
    disk::mood(gate.directory(), None);
    until(|| record.health().is_ok()).await;
    record.stop();
    assert!(gate.verify().is_whole(), "{:?}", gate.verify().findings);
    assert_eq!(gate.kinds().iter().filter(|kind| *kind == "outcome").count(), 1);
}

/// A disk that hangs: nothing is acknowledged, nothing is dropped, and all of it is on the chain when it goes on.
#[tokio::test]
async fn a_disk_that_hangs_refuses_calls_in_time_and_loses_no_line() {
    let mut gate = Gate::with(Fsync::Always, 64 << 20);
    gate.audit.timeout = Duration::from_millis(200);
    let record = gate.start();
    let before = opened(&record).await.unwrap();
    disk::mood(gate.directory(), Some(Mood::Hangs));
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    before.close(Outcome::bare(Status::Ok));
    assert!(record.waiting() > 0 && record.waiting() < 20, "{} lines wait", record.waiting());
    disk::mood(gate.directory(), None);
    calls(&record, 1).await;
    record.stop();
    let report = gate.verify();
    assert!(report.is_whole(), "{:?}", report.findings);
    let count = |kind: &str| gate.kinds().iter().filter(|k| *k == kind).count();
    // Those three are on the record as calls that were not made.
    assert_eq!((count("intent"), count("outcome"), report.unfinished), (5, 5, 0));
}

#[tokio::test]
async fn a_directory_that_is_gone_refuses_calls_until_it_is_back() {
    let gate = Gate::with(Fsync::Always, 64 << 20);
    let record = gate.start();
    calls(&record, 1).await;
    // `HEAD` may be written while the directory is emptied.
    until(|| fs::remove_dir_all(gate.directory()).is_ok()).await;
    assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
    assert!(record.health().is_err());
    fs::create_dir(gate.directory()).unwrap();
    until(|| record.health().is_ok()).await;
    calls(&record, 1).await;
    record.stop();
    let kinds = gate.kinds();
    assert_eq!(kinds[..2], ["opened", "recovered"]);
    assert_eq!(kinds[kinds.len() - 3..], ["intent", "outcome", "closed"]);
    assert!(gate.lines()[0]["seq"].as_u64() > Some(1), "numbers are not used twice");
}

#[tokio::test]
async fn an_idle_gate_notices_that_its_directory_is_gone() {
    let gate = Gate::new();
    let record = gate.start();
    fs::rename(gate.directory(), gate.root.path().join("elsewhere")).unwrap();
    until(|| record.health().is_err()).await;
    assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
}

#[tokio::test]
async fn a_stopped_record_takes_no_call() {
    let gate = Gate::new();
    let record = gate.start();
    record.stop();
    assert_eq!(opened(&record).await.err(), Some(Refusal::NotRecorded));
}
