use super::*;

/// A chain of several segments, closed cleanly.
async fn chain() -> Gate {
    let gate = Gate::with(Fsync::Every(Duration::from_millis(1)), 4096);
    let record = gate.start();
    calls(&record, 20).await;
    let refusal = Refusal::NotAuthenticated;
    record.refused(&RefusalLine::new(Invocation::new(), &refusal, HERE));
    record.stop();
    assert!(gate.verify().is_whole(), "{:?}", gate.verify().findings);
    assert!(gate.segments().len() > 3);
    gate
}

/// Calls `tamper` on each file's bytes in turn, and expects that each change is noticed.
fn each_file(gate: &Gate, mut tamper: impl FnMut(&Path, &[u8], &mut dyn FnMut(&[u8], &str))) {
    let mut files = gate.segments();
    files.push(gate.directory().join("HEAD"));
    for path in files {
        let whole = fs::read(&path).unwrap();
        tamper(&path, &whole, &mut |changed, what| {
            fs::write(&path, changed).unwrap();
            let report = gate.verify();
            assert!(!report.is_whole(), "{what} in {} went unnoticed", path.display());
        });
        fs::write(&path, &whole).unwrap();
    }
    assert!(gate.verify().is_whole());
}

/// Numbers that look random and are the same in every run (SplitMix64).
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 42_u64;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) % u64::try_from(below).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn any_single_byte_that_is_edited_is_noticed() {
    let gate = chain().await;
    let mut number = numbers();
    each_file(&gate, |_, whole, noticed| {
        for _ in 0..200 {
            let mut changed = whole.to_vec();
            let (at, by) = (number(whole.len()), u8::try_from(number(255) + 1).unwrap());
            changed[at] ^= by;
            noticed(&changed, &format!("byte {at} xor {by}"));
        }
    });
}

#[tokio::test]
async fn any_line_that_is_deleted_doubled_or_swapped_is_noticed() {
    let gate = chain().await;
    each_file(&gate, |path, whole, noticed| {
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            noticed(&without.concat(), &format!("without line {at}"));
            if !path.ends_with("HEAD") {
                let mut doubled = lines.clone();
                doubled.insert(at, lines[at]);
                noticed(&doubled.concat(), &format!("line {at} doubled"));
            }
            if at > 0 {
                let mut swapped = lines.clone();
                swapped.swap(at - 1, at);
                noticed(&swapped.concat(), &format!("line {at} swapped"));
            }
        }
    });
}

#[tokio::test]
async fn any_tail_that_is_cut_off_is_noticed() {
    let gate = chain().await;
    let mut number = numbers();
    each_file(&gate, |_, whole, noticed| {
        for _ in 0..60 {
            let at = number(whole.len());
            noticed(&whole[..at], &format!("cut at {at}"));
        }
    });
}

#[tokio::test]
async fn any_segment_that_is_removed_or_renamed_is_noticed() {
    let gate = chain().await;
    for path in gate.segments() {
        let away = gate.root.path().join("away");
        fs::rename(&path, &away).unwrap();
        assert!(!gate.verify().is_whole(), "{}", path.display());
        let other = path.with_file_name("audit-000000000777-20260101T000000Z.jsonl");
        fs::rename(&away, &other).unwrap();
        assert!(!gate.verify().is_whole(), "{}", path.display());
        fs::rename(&other, &path).unwrap();
    }
    fs::remove_file(gate.directory().join("HEAD")).unwrap();
    assert!(!gate.verify().is_whole());
}

#[tokio::test]
async fn a_chain_that_somebody_wrote_anew_lacks_the_signature() {
    let (gate, forger) = (chain().await, chain().await);
    let key = AuditKey::read(&AuditKey::path(gate.directory())).unwrap();
    let report = verify::verify(forger.directory(), &key).unwrap();
    assert!(report.findings.iter().any(|f| f.what == verify::Wrong::Unsigned), "{:?}", report.findings);
}

#[tokio::test]
async fn the_report_says_which_line_was_changed() {
    let gate = chain().await;
    let path = gate.segments().swap_remove(1);
    let whole = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    lines[2] = lines[2].replace("acme", "emca");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let report = gate.verify();
    let seq = serde_json::from_str::<Value>(&lines[2]).unwrap()["seq"].as_u64();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let finding = &report.findings[0];
    assert_eq!((finding.line, finding.seq, &finding.what), (Some(3), seq, &verify::Wrong::Changed));
    assert!(path.ends_with(&finding.file));
}

#[tokio::test]
async fn the_report_says_which_lines_are_missing() {
    let gate = chain().await;
    let path = gate.segments().swap_remove(0);
    let whole = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> =
        whole.lines().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| line).collect();
    fs::write(&path, kept.join("\n") + "\n").unwrap();
    let report = gate.verify();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].what, verify::Wrong::Missing { from: 4, to: 4 });
}
