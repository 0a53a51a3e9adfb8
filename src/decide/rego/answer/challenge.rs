//! `challenge` of a denial: how the caller must authenticate for it to be lifted.

use std::sync::Arc;

use regorus::Value;

use crate::decide::rego::Failure;
use crate::decide::rego::answer::wrong;
use crate::refusal::Challenge;

/// What would lift all of these denials; `None`: one of them says nothing of it, so that nothing would.
pub(super) fn of(denials: &[&Value]) -> Result<Option<Challenge>, Failure> {
    let mut all = Challenge::default();
    for denial in denials {
        let said = denial.as_object().ok().and_then(|members| members.get(&Value::from("challenge")));
        let Some(said) = said else { return Ok(None) };
        let one = read(said)?;
        all.scopes.extend(one.scopes);
        all.acr_values.extend(one.acr_values);
        all.max_age = all.max_age.into_iter().chain(one.max_age).min();
    }
    all.scopes.sort();
    all.scopes.dedup();
    all.acr_values.sort();
    all.acr_values.dedup();
    Ok((!denials.is_empty()).then_some(all))
}

fn read(said: &Value) -> Result<Challenge, Failure> {
    let what = "has a `challenge` that is not {scopes: […], acr_values: […], max_age: seconds}, or is empty";
    let Ok(members) = said.as_object() else { return wrong("deny", what) };
    let mut challenge = Challenge::default();
    for (name, value) in members.iter() {
        match name.as_string().map(|name| name.to_string()).as_deref() {
            Ok("scopes") => challenge.scopes = words(value)?,
            Ok("acr_values") => challenge.acr_values = words(value)?,
            Ok("max_age") => match value.as_u64() {
                Ok(seconds) => challenge.max_age = Some(seconds),
                Err(_) => return wrong("deny", what),
            },
            _ => return wrong("deny", what),
        }
    }
    if challenge == Challenge::default() { wrong("deny", what) } else { Ok(challenge) }
}

/// Words that a header can carry: without spaces, quotes and backslashes (RFC 6749 section 3.3).
fn words(value: &Value) -> Result<Vec<Arc<str>>, Failure> {
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
    };
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Set(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let words = items.into_iter().map(|item| match item.as_string() {
        Ok(text) if is_word(text) => Ok(Arc::from(&**text)),
        _ => wrong("deny", "has a `challenge` with a word that is none: texts without spaces and quotes"),
    });
    words.collect()
}
