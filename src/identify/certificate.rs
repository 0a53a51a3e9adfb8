//! Client certificates: the TLS handshake proved the key and the chain; the rules say whom it stands for.

use std::sync::Arc;

use crate::config::{CertificateRule, Certificates};
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::{BadProof, Found};
use crate::identify::{Authentication, Caller, Proof};
use crate::inbound::ClientCertificate;
use crate::name::AgentId;

/// The rules, in order; the first whose conditions all hold decides.
#[derive(Debug)]
pub(in crate::identify) struct Rules(Vec<(CertificateRule, Arc<Caller>)>);

impl Rules {
    pub(in crate::identify) fn new(
        certificates: Option<&Certificates>,
        problems: &mut Vec<IdentityProblem>,
    ) -> Self {
        let Some(certificates) = certificates else { return Self(Vec::new()) };
        if certificates.rules.is_empty() {
            problems.push(IdentityProblem::new(
                "identity.certificates",
                "the list is empty",
                "write a rule, or leave the key out: then client certificates prove nothing",
            ));
        }
        let ready = certificates.rules.iter().enumerate().map(|(at, rule)| {
            if rule.common_name.is_none() && rule.alternative_name.is_none() && rule.sha256.is_none() {
                problems.push(IdentityProblem::new(
                    format!("identity.certificates[{at}]"),
                    "the rule has no condition, so every certificate would match it",
                    "add `common_name`, `alternative_name` or `sha256`; `common_name: \"*\"` if all are meant",
                ));
            }
            let caller = Caller::configured(&rule.who, Authentication::by(Proof::Certificate));
            (rule.clone(), Arc::new(caller))
        });
        Self(ready.collect())
    }

    /// Whom the certificate stands for. Where no rule exists, certificates are for the handshake only and prove nothing.
    pub(in crate::identify) fn find(&self, certificate: Option<&ClientCertificate>) -> Found {
        let Some(certificate) = certificate else { return Found::Nothing };
        if self.0.is_empty() {
            return Found::Nothing;
        }
        match self.0.iter().find(|(rule, _)| matches(rule, certificate)) {
            Some((_, caller)) => Found::Valid(named(caller, certificate)),
            None => Found::Invalid(BadProof::UnknownCertificate),
        }
    }
}

/// Two certificates under one rule are two agents: where the rule names none, the common name does.
fn named(caller: &Arc<Caller>, certificate: &ClientCertificate) -> Arc<Caller> {
    if caller.agent.is_some() {
        return Arc::clone(caller);
    }
    let agent = certificate.common_name.as_deref().and_then(|name| AgentId::parse(name).ok());
    Arc::new(Caller { agent, ..Caller::clone(caller) })
}

fn matches(rule: &CertificateRule, certificate: &ClientCertificate) -> bool {
    let common = rule
        .common_name
        .as_ref()
        .is_none_or(|glob| certificate.common_name.as_deref().is_some_and(|name| glob.is_match(name)));
    let alternative = rule
        .alternative_name
        .as_ref()
        .is_none_or(|glob| certificate.alternative_names.iter().any(|name| glob.is_match(name)));
    let exact = rule.sha256.is_none_or(|digest| digest == certificate.sha256);
    common && alternative && exact
}
