//! JSON → values as the engine has them.

use std::collections::BTreeMap;

use regorus::Value;

/// A JSON value as the engine has it.
///
/// # Errors
/// A number that the engine cannot hold.
pub(super) fn of(json: &serde_json::Value) -> Result<Value, String> {
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::from(*truth),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        // Its digits decide what the engine makes of it.
        serde_json::Value::Number(number) => {
            Value::from_json_str(&number.to_string()).map_err(|e| format!("{e:#}"))?
        }
        serde_json::Value::Array(items) => Value::from(items.iter().map(of).collect::<Result<Vec<_>, _>>()?),
        serde_json::Value::Object(members) => {
            let pairs = members.iter().map(|(name, member)| Ok((Value::from(name.as_str()), of(member)?)));
            Value::from(pairs.collect::<Result<BTreeMap<_, _>, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_one_that_the_engine_reads_from_the_text() {
        for text in [
            r#"{"a": [null, true, "x", "", "\u0000é"], "b": {}, "c": [], "d": {"e": {"f": [[]]}}}"#,
            "[0, -1, 1.0, 1e2, 0.1, 18446744073709551615, -9223372036854775808, 123456789012345678901234567890]",
        ] {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(of(&json).unwrap(), Value::from_json_str(&json.to_string()).unwrap(), "{text}");
        }
    }
}
