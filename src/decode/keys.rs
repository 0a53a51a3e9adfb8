//! Keys that some server would read as a key of the protocol, although they are not spelled like it.
//!
//! # Why
//! Go's `encoding/json` folds case by Unicode (`paramſ` is `params` to it), others compare in lower or upper case
//! (where `ı` and `İ` become `i`), and servers with generated models also take `task_id` for `taskId`. What may be read
//! as a protocol key by anyone is refused.

/// The protocol key that `key` could be taken for. `key` itself is not one.
pub(super) fn lookalike(key: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|protocol| folded(key).eq(folded(protocol)))
}

fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars().filter(|c| *c != '_' && !c.is_control()).map(fold)
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        c => c.to_lowercase().next().unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use super::lookalike;

    #[test]
    fn a_key_that_differs_by_case_or_folding_only_is_a_lookalike() {
        let known = &["params", "progressToken", "_meta", "taskId", "uri"];
        for (key, protocol) in [
            ("Params", "params"),
            ("param\u{17f}", "params"),
            ("progressTo\u{212a}en", "progressToken"),
            ("PROGRESSTOKEN", "progressToken"),
            ("progress_token", "progressToken"),
            ("meta", "_meta"),
            ("task_id", "taskId"),
            ("task\u{131}d", "taskId"),
            ("ur\u{130}", "uri"),
            ("uri\0", "uri"),
        ] {
            assert_eq!(lookalike(key, known), Some(protocol), "{key}");
        }
    }

    #[test]
    fn an_ordinary_key_is_not() {
        for key in ["", "param", "paramss", "com.example/trace", "résumé"] {
            assert_eq!(lookalike(key, &["params", "uri"]), None, "{key}");
        }
    }
}
