//! The way out for what goes no further: on the record, and told to the caller.

use http::HeaderValue;

use crate::gateway::call::Call;
use crate::gateway::{Gateway, Relay};
use crate::identify::challenge::Resource;
use crate::inbound::{Door, Target};
use crate::record::{Outcome, RefusalLine, Status};
use crate::refusal::Refusal;
use crate::respond::{Answer, table};

impl Gateway {
    /// Records a refusal and answers it.
    pub(in crate::gateway) fn refuse(
        &self,
        refusal: &Refusal,
        mut call: Call,
        target: Option<&Target>,
    ) -> Answer<Relay> {
        let flood = self.counted(refusal, &call);
        let refusal = flood.as_ref().unwrap_or(refusal);
        match call.open.take() {
            Some(open) => open.close(outcome(refusal)),
            None => {
                self.record_refusal(refusal, &call);
                std::mem::take(&mut call.trace).ended(&outcome(refusal));
            }
        }
        self.shared.metrics.refused(call.method, refusal);
        let resource = match target {
            Some(Target::Server(name) | Target::Access(_, Door::Server(name))) => Resource::Server(name),
            Some(Target::OnlyServer(_) | Target::ScopedUrl(_) | Target::Access(..)) | None => Resource::Mcp,
        };
        let challenge = self.identify.challenges().header(refusal, resource);
        table::answer(refusal, &call.asked(), challenge.and_then(|text| HeaderValue::try_from(text).ok()))
    }

    /// Counts a refused message against its caller's rates: a flood of refused calls is a flood. What has passed
    /// `govern`, or was refused by it, is counted already.
    fn counted(&self, refusal: &Refusal, call: &Call) -> Option<Refusal> {
        let caller = call.caller.as_ref()?;
        if call.open.is_some() || matches!(refusal, Refusal::TooMany(_) | Refusal::NotRecorded) {
            return None;
        }
        self.shared.govern.count_refused(caller, self.quotas(caller.tenant())).err()
    }

    fn record_refusal(&self, refusal: &Refusal, call: &Call) {
        let mut line = RefusalLine::new(call.invocation, refusal, call.source.ip());
        line.caller = call.caller.as_deref();
        line.server = call.server.as_ref().map(|server| &server.name);
        line.method = call.method;
        line.era = call.method.map(|_| call.era);
        line.protocol = call.version.map(crate::decode::Version::as_str);
        line.client = call.client.as_ref().map(|(name, _)| name.as_str());
        line.workflow = call.workflow.as_deref();
        line.arguments = call.arguments.as_ref().map(|arguments| arguments.get().as_bytes());
        line.rules = &call.rules;
        line.revision = call.revision.as_ref();
        line.comparison = call.comparison.as_ref();
        line.about = call.about();
        self.shared.record.refused(&line);
    }
}

/// How a call ended that was refused after its intent was on the record.
fn outcome(refusal: &Refusal) -> Outcome {
    match refusal {
        Refusal::ClientGone => Outcome::bare(Status::Cancelled),
        // The server has had it, and what it did with it is not known.
        Refusal::TimedOut { .. } | Refusal::BadAnswer { .. } => {
            Outcome { status: Status::Unknown, ..Outcome::refused(refusal) }
        }
        _ => Outcome::refused(refusal),
    }
}
