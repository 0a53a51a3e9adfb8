//! The shape of the source: who may name whom, and how long a file may be.
//!
//! A room may name the values of the rooms before it; only `gateway` knows all of them. Outside crates that would leak
//! everywhere stay in one room each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name.
const MAY_NAME: [(&str, &str); 28] = [
    ("address", ""),
    ("name", ""),
    ("secret", ""),
    ("refusal", "name"),
    ("inbound", "name refusal secret"),
    ("config", "name secret"),
    ("store", "name secret config identify"),
    ("identify", "catalogue config decode inbound name refusal secret store"),
    ("decode", "inbound name refusal"),
    ("catalogue", "config name decode secret"),
    ("decide", "catalogue config decode identify name refusal"),
    ("deliver", "config name secret"),
    ("review", "catalogue config decide identify name"),
    ("govern", "config decide decode identify name refusal store"),
    ("record", "config decide decode identify name refusal secret"),
    ("credential", "address config decide name refusal secret store"),
    ("vouch", "config credential decide decode identify name refusal secret store"),
    ("forward", "address config credential decide decode govern name refusal secret vouch"),
    ("bridge", "config decide decode forward name record refusal"),
    ("respond", "catalogue credential decide decode forward name refusal secret"),
    ("tenancy", "config credential forward identify name refusal secret store"),
    ("gateway", "*"),
    ("listen", "config gateway inbound name refusal respond secret"),
    ("admin", "*"),
    ("cli", "*"),
    ("demo", "*"),
    ("main", "*"),
    ("run", "*"),
];

/// Where each of these crates may be used.
const LIVES_IN: [(&str, &str); 7] = [
    ("pingora", "listen forward admin cli"),
    ("regorus", "decide cli"),
    ("saphyr", "config decide"),
    ("clap", "cli main"),
    ("redb", "store"),
    ("redis", "store"),
    ("axum", "admin cli demo"),
];

/// No file is longer.
const LONGEST: usize = 500;

#[test]
fn a_room_names_only_what_stands_before_it() {
    let table: BTreeMap<_, _> = MAY_NAME.into_iter().collect();
    let mut wrong = Vec::new();
    for file in files().into_iter().filter(|f| room(f) != "lib") {
        let room = room(&file);
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!("{}: the room `{room}` is not in the table", file.display()));
            continue;
        };
        let allowed: Vec<_> = allowed.split(' ').collect();
        for (number, line) in code(&file) {
            for named in named(&line, "crate::") {
                if named != room && !allowed.contains(&named.as_str()) && allowed != ["*"] {
                    wrong.push(format!("{}:{number}: `{room}` names `{named}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in files() {
        let room = room(&file);
        for (number, line) in code(&file) {
            for (outside, rooms) in LIVES_IN {
                if uses(&line, outside) && !rooms.split(' ').any(|r| r == room) {
                    wrong.push(format!("{}:{number}: `{outside}` belongs in {rooms}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let lines = |file: &PathBuf| fs::read_to_string(file).expect("text").lines().count();
    let long = files().into_iter().map(|f| (lines(&f), f)).filter(|(n, _)| *n > LONGEST);
    let long: Vec<_> = long.map(|(n, f)| format!("{}: {n} lines", f.display())).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

fn source() -> PathBuf {
    portcullis_integration::repository().join("src")
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![source()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            match entry.path() {
                path if path.is_dir() => left.push(path),
                path if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The top module that a file belongs to.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix(source()).expect("a source file");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines that run, by number: no comments, no tests.
fn code(file: &Path) -> Vec<(usize, String)> {
    let is_test = |part: &str| part == "tests" || part == "tests.rs";
    if file.components().any(|c| is_test(&c.as_os_str().to_string_lossy())) {
        return Vec::new();
    }
    let text = fs::read_to_string(file).expect("text");
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().enumerate().map(|(i, l)| (i + 1, l.trim().to_owned()));
    lines.filter(|(_, l)| !l.starts_with("//")).collect()
}

/// The modules that are named behind `prefix`, groups in braces included.
fn named(line: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, rest) in line.match_indices(prefix).map(|(at, _)| line.split_at(at + prefix.len())) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group.split([',', '}']).map(|n| first_word(n.trim()))),
            None => found.push(first_word(rest)),
        }
    }
    found.retain(|n| !n.is_empty() && n.starts_with(|c: char| c.is_ascii_lowercase()));
    found
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

fn uses(line: &str, outside: &str) -> bool {
    line.match_indices(outside).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        line[at + outside.len()..].starts_with("::")
            && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn the_reader_of_this_test_sees_what_it_should() {
    assert_eq!(named("use crate::decide::Permit;", "crate::"), ["decide"]);
    assert_eq!(named("use crate::{name::X, forward};", "crate::"), ["name", "forward"]);
    assert_eq!(named("let x = crate::vouch::y(crate::name::Z);", "crate::"), ["vouch", "name"]);
    assert!(
        uses("use pingora::x;", "pingora")
            && uses("-> pingora::Result", "pingora")
            && !uses("not_pingora::x", "pingora")
    );
}
