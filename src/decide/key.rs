//! The key of a kept decision: the exact values that the policy reads, in one order, each with its length.
//!
//! # Why the values themselves
//! A hash of them would have to be trusted; the values cannot collide. The tenant always comes first, also where the
//! policy does not read it, so that no entry is ever another tenant's.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalogue::Tool;
use crate::decide::contract::{Field, Reads};
use crate::decide::{Phase, Question, Subject};
use crate::identify::Caller;
use crate::name::{AgentId, UserId};

/// Writes the key of a question into `out`, which is emptied first.
pub(in crate::decide) fn write(out: &mut Vec<u8>, reads: &[Reads], question: &Question<'_>, phase: Phase) {
    out.clear();
    text(out, question.caller.tenant().as_str());
    for read in reads {
        match read {
            Reads::Field(field) => write_field(out, *field, question, phase),
            Reads::Attribute(name) => match question.caller.attributes().get(name) {
                Some(value) => json(out, value),
                None => absent(out),
            },
        }
    }
}

fn write_field(out: &mut Vec<u8>, field: Field, question: &Question<'_>, phase: Phase) {
    let (caller, server, circumstances) = (question.caller, question.server, question.circumstances);
    let (authentication, scope) = (caller.authentication(), caller.scope());
    let (tool, resource, prompt) = subject(question.subject);
    let client = circumstances.client.as_ref();
    match field {
        Field::Phase => text(out, phase.as_str()),
        Field::Method => text(out, question.method),
        Field::User => maybe(out, caller.user().map(UserId::as_str)),
        Field::Agent => maybe(out, caller.agent().map(AgentId::as_str)),
        Field::Roles => texts(out, caller.roles()),
        Field::Groups => texts(out, caller.groups()),
        Field::Attributes => attributes(out, caller),
        Field::AuthKind => text(out, authentication.kind.as_str()),
        Field::AuthIssuer => maybe(out, authentication.issuer.as_deref()),
        Field::AuthScopes => texts(out, &authentication.scopes),
        Field::AuthAcr => maybe(out, authentication.acr.as_deref()),
        Field::AuthAmr => texts(out, &authentication.amr),
        Field::ScopeId => maybe(out, scope.map(|scope| scope.id.as_str())),
        Field::ScopeMethods => maybe_texts(out, scope.map(|scope| scope.methods.as_slice())),
        Field::ScopeTags => maybe_texts(out, scope.map(|scope| scope.tags.as_slice())),
        Field::ScopeExpires => {
            let expires = scope.and_then(|scope| scope.expires_at).map(|at| at.to_string());
            maybe(out, expires.as_deref());
        }
        Field::ServerName => text(out, server.name.as_str()),
        Field::ServerTags => texts(out, &server.tags),
        Field::ToolName => maybe(out, tool.map(|tool| tool.name.as_str())),
        Field::ToolOperation => maybe(out, tool.map(|tool| &*tool.operation)),
        Field::ToolClass => maybe(out, tool.map(|tool| tool.class.as_str())),
        Field::ToolTags => maybe_texts(out, tool.map(|tool| tool.tags.as_slice())),
        Field::ToolPinned => maybe(out, tool.map(|tool| if tool.pinned { "1" } else { "0" })),
        Field::ToolAnnotations => {
            maybe(out, tool.and_then(|tool| tool.annotations.as_ref()).map(|raw| raw.get()))
        }
        Field::ResourceUri => maybe(out, resource),
        Field::PromptName => maybe(out, prompt),
        Field::Arguments => maybe(out, question.arguments.map(RawValue::get)),
        Field::SourceIp => address(out, circumstances.source_ip),
        Field::Protocol => maybe(out, circumstances.protocol),
        Field::ClientName => maybe(out, client.map(|(name, _)| name.as_str())),
        Field::ClientVersion => maybe(out, client.and_then(|(_, version)| version.as_deref())),
        Field::ClientVerified => maybe(out, client.map(|_| "0")),
        Field::Workflow => maybe(out, circumstances.workflow.as_deref()),
        // The tenant is written before all else.
        Field::Tenant => {}
        // What passes is in no key: a decision that reads it is not kept.
        Field::AuthAge
        | Field::RequestId
        | Field::RequestTime
        | Field::RateRemaining
        | Field::CostThisMonth => {}
    }
}

fn subject(subject: &Subject) -> (Option<&Tool>, Option<&str>, Option<&str>) {
    match subject {
        Subject::Tool(tool) => (Some(tool), None, None),
        Subject::Resource(uri) => (None, Some(uri), None),
        Subject::Prompt(name) => (None, None, Some(name)),
        Subject::Server => (None, None, None),
    }
}

fn attributes(out: &mut Vec<u8>, caller: &Caller) {
    length(out, caller.attributes().len());
    for (name, value) in caller.attributes() {
        text(out, name);
        json(out, value);
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(ip) => bytes(out, &ip.octets()),
        IpAddr::V6(ip) => bytes(out, &ip.octets()),
    }
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

/// No value has this length.
fn absent(out: &mut Vec<u8>) {
    out.extend_from_slice(&u64::MAX.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}

fn maybe(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => absent(out),
    }
}

fn maybe_texts(out: &mut Vec<u8>, list: Option<&[Arc<str>]>) {
    match list {
        Some(list) => texts(out, list),
        None => absent(out),
    }
}

fn texts(out: &mut Vec<u8>, list: &[Arc<str>]) {
    length(out, list.len());
    for one in list {
        text(out, one);
    }
}

/// A JSON value; a text is told from the JSON of another value by its first byte.
fn json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(one) => {
            out.push(b'"');
            text(out, one);
        }
        other => {
            out.push(b'j');
            text(out, &other.to_string());
        }
    }
}
