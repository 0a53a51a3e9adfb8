//! `NAME := {… | …} if {…}` → `NAME := answer if {…; answer := {… | …}}`: the virtual machine's compiler refuses the first.

/// The same rules, with what a head makes of a loop said in the body.
pub fn hoisted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(":= ") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        match head(before, after) {
            Some((value, body, left)) => {
                out.push_str(&format!("answer if {{{body}\tanswer := {value}\n}}"));
                rest = left;
            }
            None => rest = after,
        }
    }
    out + rest
}

/// The value of a head that loops, the body, and what follows.
fn head<'a>(before: &str, after: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
    let line = before.rsplit('\n').next().unwrap_or_default();
    if line.starts_with(['\t', ' ', '#']) {
        return None;
    }
    let end = end_of(after, |left| left.starts_with(" if {") || left.starts_with('\n'))?;
    let (value, left) = after.split_at(end);
    let left = left.strip_prefix(" if {")?;
    let close = end_of(left, |left| left.starts_with('}'))?;
    value.contains(" some ").then_some((value, &left[..close], &left[close + 1..]))
}

/// Where something stands outside brackets, texts and comments.
fn end_of(text: &str, found: impl Fn(&str) -> bool) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let left = &text[at..];
        if depth == 0 && found(left) {
            return Some(at);
        }
        match left.as_bytes()[0] {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.checked_sub(1)?,
            b'"' => at += left[1..].find('"')? + 1,
            b'`' => at += left[1..].find('`')? + 1,
            b'#' => at += left.find('\n')? - 1,
            _ => {}
        }
        at += 1;
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}
