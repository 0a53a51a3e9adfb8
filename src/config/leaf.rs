//! The texts of a configuration that mean more than text: each is parsed once, and says what would be right.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::Glob;
use http::{HeaderName, Uri};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Fsync;
use super::problem::Misfit;
use super::store::StoreUrl;
use crate::name::{AgentId, BadName, TenantId, UserId};

/// A URL as it is written, and what it is.
#[derive(Debug, Clone)]
pub(super) struct Url {
    /// The text; issuers and audiences are compared by it.
    pub(super) text: String,
    /// The URL.
    pub(super) uri: Uri,
}

/// One format of text, as the published schema names it.
pub(super) struct Format {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// Whether a text fits it, and why not.
    pub(super) fits: fn(&str) -> Result<(), Misfit>,
}

macro_rules! leaves {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $format:literal, $parse:expr, $show:expr, $fix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub(crate) struct $name(pub(super) $inner);

            impl $name {
                pub(super) fn parse(text: &str) -> Result<Self, Misfit> {
                    let parse: fn(&str) -> Result<$inner, String> = $parse;
                    parse(text).map(Self).map_err(|what| Misfit::new(what, $fix))
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    let text = String::deserialize(from)?;
                    Self::parse(&text).map_err(|misfit| serde::de::Error::custom(misfit.what))
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                    let show: fn(&$inner) -> String = $show;
                    to.serialize_str(&show(&self.0))
                }
            }

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({"type": "string", "format": $format})
                }
            }
        )*

        /// Every format.
        pub(super) const FORMATS: &[Format] = &[
            $(Format { name: $format, fits: |text| $name::parse(text).map(drop) },)*
            Format { name: "byte-size", fits: |text| Size::parse(text).map(drop) },
        ];
    };
}

leaves! {
    /// A span of time.
    Span(Duration), "time-span", span, |span| humantime::format_duration(*span).to_string(),
        "write a number and a unit, such as `500ms`, `30s`, `5m` or `24h`";
    /// A socket address.
    Address(SocketAddr), "socket-address", address, SocketAddr::to_string,
        "write an IP address and a port, such as `127.0.0.1:8080` or `[::1]:8080`";
    /// An absolute `http` or `https` URL without user information and fragment.
    HttpUrl(Url), "http-url", url, |url| url.text.clone(), "write one such as `https://host.example/path`";
    /// A glob.
    Pattern(Glob), "glob", glob, |glob| glob.glob().to_owned(), "write one such as `list_*`";
    /// A SHA-256 in hex.
    Hash([u8; 32]), "sha256-hex", hash, |hash| hex::encode(hash),
        "write the 64 hex digits that `portcullis key create` prints";
    /// A JSON Pointer into a token's claims.
    ClaimPointer(String), "claim-pointer", pointer, String::clone, "begin with a slash, as in `/sub` or `/realm_access/roles`";
    /// A moment.
    Moment(jiff::Timestamp), "moment", moment, jiff::Timestamp::to_string,
        "write it as `2027-01-01T00:00:00Z`";
    /// A tenant.
    Tenant(TenantId), "tenant", |text| TenantId::parse(text).map_err(|bad| named(text, "tenant", &bad)),
        TenantId::to_string, "name the tenant in printable characters";
    /// A user.
    User(UserId), "user", |text| UserId::parse(text).map_err(|bad| named(text, "user", &bad)),
        UserId::to_string, "name the user in printable characters";
    /// An agent.
    Agent(AgentId), "agent", |text| AgentId::parse(text).map_err(|bad| named(text, "agent", &bad)),
        AgentId::to_string, "name the agent in printable characters";
    /// A header's name.
    Header(HeaderName), "header-name", header, HeaderName::to_string, "write a name such as `X-Api-Key`";
    /// When audit lines are forced to the disk.
    Sync(Fsync), "fsync", fsync, show_fsync, "write `always`, or a time such as `100ms`";
    /// A file or a directory.
    FilePath(PathBuf), "path", path, |path| path.display().to_string(), "name one; it is relative to the configuration file";
    /// A word: a role, a tag, a scope and the like.
    Word(String), "word", word, String::clone, "write a word";
    /// A scope of OAuth 2.0 (RFC 6749 section 3.3).
    Scope(String), "scope", scope, String::clone, "write one scope for each element of the list";
    /// A host with or without a port.
    Host(String), "host", host, String::clone, "write a host such as `gate.example` or `gate.example:8443`";
    /// An origin of a browser (RFC 6454).
    Origin(String), "origin", origin, String::clone, "write scheme and host, such as `https://app.example`";
    /// The URL of a Redis or Valkey.
    StoreAt(StoreUrl), "store-url", StoreUrl::parse, StoreUrl::masked,
        "write one such as `redis://host:6379/0`, `redis+sentinel://host:26379,host:26379/name` or `redis+cluster://host:6379`";
    /// An operation of a tool.
    Operation(String), "operation", operation, String::clone,
        "write list, get, create, update, delete, or the server's own verb";
}

/// A size in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(super) u64);

impl Size {
    fn parse(text: &str) -> Result<Self, Misfit> {
        let wrong =
            || Misfit::new(format!("`{text}` is not a size"), "write one such as `512KiB`, `4MiB` or `1GiB`");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }

    /// As it is written: the largest unit that needs no fraction.
    pub(super) fn show(bytes: u64) -> String {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let unit = units.into_iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor));
        unit.map_or_else(|| format!("{bytes}B"), |(factor, name)| format!("{}{name}", bytes / factor))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(from)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => Self::parse(&text).map_err(|misfit| serde::de::Error::custom(misfit.what)),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Self::show(self.0))
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "format": "byte-size", "minimum": 1})
    }
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("`{text}` is not a time"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not a socket address"))
}

fn url(text: &str) -> Result<Url, String> {
    // A URL with user information is not repeated: it is a credential.
    let authority =
        text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(""));
    if authority.contains('@') {
        return Err("the URL has user information in it".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| format!("`{text}` is not a URL"))?;
    match uri.scheme_str() {
        _ if text.contains('#') => Err(format!("`{text}` has a fragment")),
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => {
            Ok(Url { text: text.to_owned(), uri })
        }
        Some(_) | None => Err(format!("`{text}` is not an http or https URL")),
    }
}

fn glob(text: &str) -> Result<Glob, String> {
    if text.is_empty() {
        return Err("the pattern is empty".to_owned());
    }
    Glob::new(text).map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => {
            Err(format!("this is not the hex of a SHA-256: it has {} characters", text.chars().count()))
        }
    }
}

fn pointer(text: &str) -> Result<String, String> {
    let escapes_well = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    match text.starts_with('/') && escapes_well {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not a JSON Pointer")),
    }
}

fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is not a moment of RFC 3339"))
}

fn named(text: &str, kind: &str, bad: &BadName) -> String {
    format!("`{}` is not the name of a {kind}: {bad}", text.escape_debug())
}

fn header(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| format!("`{}` is not the name of a header", text.escape_debug()))
}

fn fsync(text: &str) -> Result<Fsync, String> {
    match (text, humantime::parse_duration(text)) {
        ("always", _) => Ok(Fsync::Always),
        (_, Ok(every)) if !every.is_zero() => Ok(Fsync::Every(every)),
        (_, Ok(_) | Err(_)) => Err(format!("`{text}` is neither `always` nor a time")),
    }
}

fn show_fsync(fsync: &Fsync) -> String {
    match fsync {
        Fsync::Always => "always".to_owned(),
        Fsync::Every(every) => humantime::format_duration(*every).to_string(),
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() || text.contains('\0') {
        true => Err("the path is empty".to_owned()),
        false => Ok(Path::new(text).to_owned()),
    }
}

fn word(text: &str) -> Result<String, String> {
    match (text.trim().is_empty(), text.chars().find(|c| c.is_control())) {
        (true, _) => Err("the text is empty".to_owned()),
        (false, Some(c)) => Err(format!("the text has the character {c:?}")),
        (false, None) => Ok(text.to_owned()),
    }
}

fn scope(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    match !text.is_empty() && text.chars().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{}` is not a scope", text.escape_debug())),
    }
}

fn host(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a host");
    let authority: http::uri::Authority = text.parse().map_err(|_| wrong())?;
    let port_is_right = authority.port().is_none() || authority.port_u16().is_some();
    match authority.host().is_empty() || text.contains(['@', '*']) || text.ends_with(':') || !port_is_right {
        true => Err(wrong()),
        false => Ok(text.to_ascii_lowercase()),
    }
}

fn origin(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http" | "https", rest)) if host(rest).is_ok() => Ok(text.to_ascii_lowercase()),
        Some(_) | None => Err(format!("`{text}` is not an origin")),
    }
}

fn operation(text: &str) -> Result<String, String> {
    match text {
        "read" | "write" | "custom" => Err(format!("`{text}` is a class, which follows from the operation")),
        _ if text.is_empty()
            || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') =>
        {
            Err(format!("`{text}` is not an operation"))
        }
        _ => Ok(text.to_owned()),
    }
}
