//! Questions about calls over HTTP: OpenID AuthZEN Authorization API 1.0, `evaluation` and `evaluations`.
//!
//! # Whose question
//! The subject of every question is the authenticated caller. An answer about somebody else would be an oracle for whoever
//! holds any credential, and would not be what their own calls get: roles come with the credential.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::decode::access::{self, Semantic, Wanted};
use crate::gateway::call::Call;
use crate::gateway::question::{Answered, Asker, Reach, Speaks};
use crate::gateway::{Gateway, Relay};
use crate::identify::Caller;
use crate::inbound::{Door, Form, Head, Inbound, Target};
use crate::refusal::Refusal;
use crate::respond::Answer;
use crate::respond::access::{decision, decisions, error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Gateway {
    /// Answers a request of questions. Every one of them is counted and on the record.
    pub(in crate::gateway) async fn access<I: Inbound>(
        self: &Arc<Self>,
        inbound: &mut I,
        form: Form,
    ) -> Answer<Relay> {
        let mut call = Call::begin(inbound.head().peer);
        let answer = match self.evaluate(inbound, form, &mut call).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let told = error(&refusal, call.invocation);
                let answer = self.refuse(&refusal, call, Some(&inbound.head().target));
                Answer {
                    status: told.status,
                    body: told.body,
                    headers: with_type_of(told.headers, answer.headers),
                }
            }
        };
        match request_id(inbound.head()) {
            Some(id) => answer.with(REQUEST_ID, id),
            None => answer,
        }
    }

    async fn evaluate<I: Inbound>(
        self: &Arc<Self>,
        inbound: &mut I,
        form: Form,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        let caller = self.identify.caller(inbound.head()).await?;
        call.caller = Some(Arc::clone(&caller));
        let body = inbound.body().await?;
        let asked = access::asked(inbound.head(), form, &body, self.config.listen.limits.json_depth)?;
        let asker = self.asker(inbound.head(), caller)?;
        let mut answers = Vec::with_capacity(asked.questions.len());
        for ask in &asked.questions {
            let answered = self.question(&asker, ask).await;
            let passes = answered.answer.is_ok();
            answers.push(answered);
            match asked.wanted {
                Wanted::Many(Semantic::DenyOnFirstDeny) if !passes => break,
                Wanted::Many(Semantic::PermitOnFirstPermit) if passes => break,
                Wanted::One | Wanted::Many(_) => {}
            }
        }
        Ok(match (asked.wanted, answers.as_slice()) {
            (Wanted::One, [one]) => single(one),
            (Wanted::One | Wanted::Many(_), all) => {
                decisions(all.iter().map(|one| (one.answer.as_ref(), one.invocation)))
            }
        })
    }

    fn asker(&self, head: &Head, caller: Arc<Caller>) -> Result<Asker, Refusal> {
        let (meant, reach) = match (&head.target, caller.scope()) {
            (_, Some(scope)) => (Some(scope.server.clone()), Reach::One),
            (Target::Access(_, Door::Server(name)), None) => (Some(name.clone()), Reach::One),
            (Target::Access(_, Door::Gate), None) => (self.only_server().ok(), Reach::Every),
            (_, None) => return Err(Refusal::UnknownUrl),
        };
        Ok(Asker { caller, source: head.peer, meant, reach, speaks: Speaks::newest() })
    }
}

/// One decision; what is wrong with the request itself is an error and no decision.
fn single(one: &Answered) -> Answer<Relay> {
    match &one.answer {
        Err(refusal @ (Refusal::OtherSubject | Refusal::TooMany(_) | Refusal::NotRecorded)) => {
            error(refusal, one.invocation)
        }
        answer => decision(answer.as_ref(), one.invocation),
    }
}

/// The headers of the refusal, except that the body is of another type.
fn with_type_of(
    mut told: Vec<(HeaderName, HeaderValue)>,
    refusal: Vec<(HeaderName, HeaderValue)>,
) -> Vec<(HeaderName, HeaderValue)> {
    let given: Vec<HeaderName> = told.iter().map(|(name, _)| name.clone()).collect();
    told.extend(refusal.into_iter().filter(|(name, _)| !given.contains(name)));
    told
}

/// What the asker calls the request (section 10.1.3); sent back as it came, where it came once.
fn request_id(head: &Head) -> Option<HeaderValue> {
    (head.count("x-request-id") == 1).then(|| head.headers.get(&REQUEST_ID).cloned()).flatten()
}
