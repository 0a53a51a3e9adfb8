//! The one member of W3C baggage that the gate reads: which workflow a call belongs to.
//!
//! # Why baggage
//! `_meta.baggage` (SEP-414, W3C Baggage) is where a client's own tracing already puts what belongs to a whole piece of
//! work, and it crosses agents unchanged. It is the client's word, and nothing but that.

/// The member's key.
const WORKFLOW: &str = "workflow";
/// W3C Baggage, section 3.3.2.
const LONGEST: usize = 8192;
const LONGEST_VALUE: usize = 128;

/// The value of `workflow`; `None` where it is not there exactly once, or is no text of 1 to 128 letters, digits and
/// `.`, `_`, `~`, `-` (RFC 3986 section 2.3: what nobody encodes).
pub(super) fn workflow(baggage: &str) -> Option<&str> {
    if baggage.len() > LONGEST {
        return None;
    }
    let members = baggage.split(',').filter_map(|member| member.split_once('='));
    let mut found = members.filter(|(key, _)| key.trim_matches([' ', '\t']) == WORKFLOW);
    let (Some((_, value)), None) = (found.next(), found.next()) else { return None };
    let value = value.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    ((1..=LONGEST_VALUE).contains(&value.len()) && value.bytes().all(plain)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_is_named_once_in_plain_characters_or_not_at_all() {
        for (baggage, expected) in [
            ("workflow=wf_12345", Some("wf_12345")),
            ("a=1, workflow = wf-1.2~x ;ttl=5,b=2", Some("wf-1.2~x")),
            ("workflow=a,workflow=b", None),
            ("workflow=", None),
            ("workflow=a b", None),
            ("workflow=a%20b", None),
            ("workflow=\u{e4}", None),
            ("workflow=a\n", None),
            ("Workflow=a", None),
            ("xworkflow=a", None),
            ("workflow", None),
            ("", None),
        ] {
            assert_eq!(workflow(baggage), expected, "{baggage:?}");
        }
        assert!(workflow(&format!("workflow={}", "x".repeat(128))).is_some());
        assert!(workflow(&format!("workflow={}", "x".repeat(129))).is_none());
        assert!(workflow(&format!("workflow=a,b={}", "x".repeat(9000))).is_none());
    }
}
