//! Which URIs a template makes (RFC 6570).
//!
//! # Why wider than the grammar
//! A template says no more than which characters may stand in a place. A URI that could come of it counts as its own; who
//! may read it is policy's to say, not the template's.

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// This very byte.
    Byte(u8),
    /// Any number of these.
    Any(Place),
}

/// What may stand where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `{x}`, and the like: unreserved characters, percent signs and commas (RFC 6570 section 3.2.2).
    Segment,
    /// `{/x}`, `{?x}` and the like: the same with the marks that their values are joined by.
    Joined(&'static [u8]),
    /// `{+x}` and `{#x}`: anything that a URI may have.
    Everything,
}

/// Longer URIs and templates match nothing; in bytes.
const LONGEST: usize = 8192;

/// Whether `uri` may come of `template`.
pub(in crate::catalogue) fn makes(template: &str, uri: &str) -> bool {
    if template.len() > LONGEST || uri.len() > LONGEST {
        return false;
    }
    let Some(parts) = parts(template) else { return false };
    // Where in the parts one may be after each byte: no template makes this slow.
    let mut here = vec![false; parts.len() + 1];
    if let Some(first) = here.first_mut() {
        *first = true;
    }
    skip(&parts, &mut here);
    for byte in uri.bytes() {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate() {
            let stands = here.get(at).copied().unwrap_or_default();
            let to = match part {
                Part::Byte(own) if *own == byte => at + 1,
                Part::Any(place) if place.takes(byte) => at,
                Part::Byte(_) | Part::Any(_) => continue,
            };
            if let (true, Some(slot)) = (stands, next.get_mut(to)) {
                *slot = true;
            }
        }
        skip(&parts, &mut next);
        here = next;
    }
    here.last().copied().unwrap_or_default()
}

/// An expression may come to nothing.
fn skip(parts: &[Part], here: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        let stands = here.get(at).copied().unwrap_or_default();
        if let (true, Part::Any(_), Some(next)) = (stands, part, here.get_mut(at + 1)) {
            *next = true;
        }
    }
}

/// `None`: it is no template.
fn parts(template: &str) -> Option<Vec<Part>> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (expression, after) = after.split_once('}')?;
        parts.extend(before.bytes().map(Part::Byte));
        parts.push(Part::Any(Place::of(expression)?));
        rest = after;
    }
    parts.extend(rest.bytes().map(Part::Byte));
    Some(parts)
}

impl Place {
    fn of(expression: &str) -> Option<Self> {
        Some(match expression.bytes().next()? {
            b'+' | b'#' => Self::Everything,
            b'/' => Self::Joined(b"/"),
            b'.' => Self::Joined(b"."),
            b';' => Self::Joined(b";="),
            b'?' | b'&' => Self::Joined(b"?&="),
            _ => Self::Segment,
        })
    }

    fn takes(self, byte: u8) -> bool {
        let plain = byte.is_ascii_alphanumeric() || b"-._~%,".contains(&byte) || !byte.is_ascii();
        match self {
            Self::Segment => plain,
            Self::Joined(marks) => plain || marks.contains(&byte),
            Self::Everything => !byte.is_ascii_control() && byte != b' ',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_makes_its_own_uris_and_no_others() {
        for (template, uri, made) in [
            ("file:///pub/{name}", "file:///pub/a.txt", true),
            ("file:///pub/{name}", "file:///pub/a/b", false),
            ("file:///pub/{name}", "file:///secret", false),
            ("file:///pub/{+path}", "file:///pub/a/b", true),
            ("db://{table}/rows{?limit,offset}", "db://orders/rows?limit=5&offset=1", true),
            ("db://{table}/rows{?limit,offset}", "db://orders/rows", true),
            ("db://{table}/rows", "db://orders/rows/1", false),
            ("db://{broken", "db://{broken", false),
            ("db://{}", "db://", false),
        ] {
            assert_eq!(makes(template, uri), made, "{template} {uri}");
        }
    }

    #[test]
    fn no_template_makes_a_match_slow() {
        let begun = std::time::Instant::now();
        assert!(!makes(&"{+a}".repeat(500), &format!("{} ", "a".repeat(2000))));
        assert!(begun.elapsed() < std::time::Duration::from_secs(3));
    }
}
