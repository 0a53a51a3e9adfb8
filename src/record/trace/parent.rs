//! `traceparent`, read and written (W3C Trace Context, version 00).

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The trace that a caller says its call belongs to. It is a claim: it decides what is traced, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl Parent {
    /// Reads a `traceparent`; `None`: it is none, and is treated as absent (section 2.2.4 of the specification).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = number(version, 2)?;
        let ended = parts.next().is_none();
        if version == 0xff || version == 0 && !ended {
            return None;
        }
        let flags = u8::try_from(number(flags, 2)?).ok()?;
        let trace = TraceId::from(number(trace, 32)?);
        let span = SpanId::from(u64::try_from(number(span, 16)?).ok()?);
        let parent = Self { trace, span, flags: TraceFlags::new(flags) };
        parent.context().is_valid().then_some(parent)
    }

    /// Whether the caller records it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    pub(super) fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, self.flags, true, TraceState::default())
    }

    /// The same trace with another span and without the sampled flag.
    pub(super) fn child(&self, span: SpanId) -> String {
        format!("00-{}-{span}-00", self.trace)
    }
}

pub(super) fn write(context: &SpanContext) -> String {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags.to_u8())
}

fn number(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let right = text.len() == digits && text.bytes().all(lower);
    right.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_back() {
        let parent = Parent::parse(GOOD).unwrap();
        assert!(parent.is_sampled());
        assert_eq!(write(&parent.context()), GOOD);
        let child = parent.child(SpanId::from(1));
        assert_eq!(child, "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-00");
        assert!(Parent::parse(&GOOD.replace("00-0a", "cc-0a")).is_some(), "a later version");
    }

    #[test]
    fn what_is_no_traceparent_is_treated_as_absent() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
    }
}
