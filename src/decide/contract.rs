//! The contract between the gate and a policy: what `input` holds, and what the gate reads from `data.mcp.authz`.

/// What a place in `input` holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::decide) enum Shape {
    /// These members and no others.
    Object(&'static [(&'static str, Shape)]),
    /// A list of texts.
    List(Field),
    /// One value.
    Value(Field),
    /// The caller's attributes: any name.
    Attributes,
    /// Anything at all.
    Open(Field),
}

/// The values in `input` that a decision can depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::decide) enum Reads {
    /// A value of the contract.
    Field(Field),
    /// One of the caller's attributes.
    Attribute(String),
}

/// A value of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::decide) enum Field {
    Phase,
    Method,
    Tenant,
    User,
    Agent,
    Roles,
    Groups,
    Attributes,
    AuthKind,
    AuthIssuer,
    AuthScopes,
    AuthAge,
    AuthAcr,
    AuthAmr,
    ScopeId,
    ScopeMethods,
    ScopeTags,
    ScopeExpires,
    ServerName,
    ServerTags,
    ToolName,
    ToolOperation,
    ToolClass,
    ToolTags,
    ToolPinned,
    ToolAnnotations,
    ResourceUri,
    PromptName,
    Arguments,
    RequestId,
    RequestTime,
    SourceIp,
    Protocol,
    ClientName,
    ClientVersion,
    ClientVerified,
    Workflow,
    RateRemaining,
    CostThisMonth,
}

impl Field {
    /// Whether the value is another one at every message, so that a decision that reads it is not kept.
    pub(in crate::decide) fn passes(self) -> bool {
        matches!(
            self,
            Self::AuthAge | Self::RequestId | Self::RequestTime | Self::RateRemaining | Self::CostThisMonth
        )
    }
}

impl Reads {
    /// What it is a part of, where the audit keeps nothing of that.
    pub(in crate::decide) fn unrecorded(&self) -> Option<&'static str> {
        match self {
            Self::Attribute(_) | Self::Field(Field::Attributes) => Some("caller.attributes"),
            Self::Field(Field::Groups) => Some("caller.groups"),
            Self::Field(
                Field::AuthIssuer | Field::AuthScopes | Field::AuthAge | Field::AuthAcr | Field::AuthAmr,
            ) => Some("caller.authentication"),
            Self::Field(Field::ScopeId | Field::ScopeMethods | Field::ScopeTags | Field::ScopeExpires) => {
                Some("scope")
            }
            Self::Field(Field::ToolAnnotations) => Some("tool.annotations"),
            Self::Field(Field::ClientName | Field::ClientVersion | Field::ClientVerified) => {
                Some("request.client")
            }
            Self::Field(Field::Workflow) => Some("request.workflow"), // in the audit; a replay does not ask with it
            Self::Field(Field::RateRemaining | Field::CostThisMonth) => Some("usage"),
            Self::Field(
                Field::Phase
                | Field::Method
                | Field::Tenant
                | Field::User
                | Field::Agent
                | Field::Roles
                | Field::AuthKind
                | Field::ServerName
                | Field::ServerTags
                | Field::ToolName
                | Field::ToolOperation
                | Field::ToolClass
                | Field::ToolTags
                | Field::ToolPinned
                | Field::ResourceUri
                | Field::PromptName
                | Field::Arguments
                | Field::RequestId
                | Field::RequestTime
                | Field::SourceIp
                | Field::Protocol,
            ) => None,
        }
    }
}

use Shape::{Attributes, List, Object, Open, Value};

const AUTHENTICATION: Shape = Object(&[
    ("kind", Value(Field::AuthKind)),
    ("issuer", Value(Field::AuthIssuer)),
    ("scopes", List(Field::AuthScopes)),
    ("age_seconds", Value(Field::AuthAge)),
    ("acr", Value(Field::AuthAcr)),
    ("amr", List(Field::AuthAmr)),
]);

const CALLER: Shape = Object(&[
    ("tenant", Value(Field::Tenant)),
    ("user", Value(Field::User)),
    ("agent", Value(Field::Agent)),
    ("roles", List(Field::Roles)),
    ("groups", List(Field::Groups)),
    ("attributes", Attributes),
    ("authentication", AUTHENTICATION),
]);

const SCOPE: Shape = Object(&[
    ("id", Value(Field::ScopeId)),
    ("methods", List(Field::ScopeMethods)),
    ("tags", List(Field::ScopeTags)),
    ("expires_at", Value(Field::ScopeExpires)),
]);

const TOOL: Shape = Object(&[
    ("name", Value(Field::ToolName)),
    ("operation", Value(Field::ToolOperation)),
    ("class", Value(Field::ToolClass)),
    ("tags", List(Field::ToolTags)),
    ("pinned", Value(Field::ToolPinned)),
    ("annotations", Open(Field::ToolAnnotations)),
]);

const CLIENT: Shape = Object(&[
    ("name", Value(Field::ClientName)),
    ("version", Value(Field::ClientVersion)),
    ("verified", Value(Field::ClientVerified)),
]);

const REQUEST: Shape = Object(&[
    ("id", Value(Field::RequestId)),
    ("time", Value(Field::RequestTime)),
    ("source_ip", Value(Field::SourceIp)),
    ("protocol", Value(Field::Protocol)),
    ("client", CLIENT),
    ("workflow", Value(Field::Workflow)),
]);

/// The whole of `input`.
pub(in crate::decide) const INPUT: Shape = Object(&[
    ("phase", Value(Field::Phase)),
    ("method", Value(Field::Method)),
    ("caller", CALLER),
    ("scope", SCOPE),
    ("server", Object(&[("name", Value(Field::ServerName)), ("tags", List(Field::ServerTags))])),
    ("tool", TOOL),
    ("resource", Object(&[("uri", Value(Field::ResourceUri))])),
    ("prompt", Object(&[("name", Value(Field::PromptName))])),
    ("arguments", Open(Field::Arguments)),
    ("request", REQUEST),
    (
        "usage",
        Object(&[
            ("rate_remaining", Value(Field::RateRemaining)),
            ("cost_this_month", Value(Field::CostThisMonth)),
        ]),
    ),
]);

impl Shape {
    /// Every value in this place.
    pub(in crate::decide) fn fields(self, into: &mut Vec<Reads>) {
        match self {
            Object(members) => members.iter().for_each(|(_, shape)| shape.fields(into)),
            List(field) | Value(field) | Open(field) => into.push(Reads::Field(field)),
            Attributes => into.push(Reads::Field(Field::Attributes)),
        }
    }

    /// Every path of names below this place.
    pub(in crate::decide) fn paths(self, prefix: &str, into: &mut Vec<String>) {
        if let Object(members) = self {
            for (name, shape) in members {
                let path = format!("{prefix}.{name}");
                shape.paths(&path, into);
                into.push(path);
            }
        }
    }
}

/// What the gate reads from `data.mcp.authz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decide) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A set.
    Set,
    /// An object.
    Object,
    /// A number.
    Number,
}

impl Kind {
    /// How a rule of this kind is written.
    pub(in crate::decide) fn example(self, key: &str) -> String {
        match self {
            Self::Boolean => format!("write `{key} if {{ … }}`"),
            Self::Set => format!("write `{key} contains \"…\" if {{ … }}`"),
            Self::Object => format!("write `{key}[\"name\"] := {{…}} if {{ … }}`"),
            Self::Number => format!("write `{key} := 1 if {{ … }}`"),
        }
    }

    /// Its name for a reader.
    pub(in crate::decide) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Set => "a set",
            Self::Object => "an object",
            Self::Number => "a number",
        }
    }
}

/// The keys of `data.mcp.authz`.
pub(in crate::decide) const KEYS: [(&str, Kind); 7] = [
    ("allow", Kind::Boolean),
    ("deny", Kind::Set),
    ("rules", Kind::Set),
    ("constraints", Kind::Object),
    ("redact", Kind::Set),
    ("cost", Kind::Number),
    ("annotations", Kind::Object),
];
