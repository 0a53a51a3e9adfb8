//! Names and reasons that others wrote → text that cannot do anything to a terminal or a page.

use serde_json::Value;

/// The text without what would move the cursor, break the line or turn the reading direction.
pub(in crate::review) fn text(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => plain.push(' '),
            c if c.is_control() || is_hidden(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

/// What an argument is narrowed to, in as few words as say it.
pub(in crate::review) fn constraint(argument: &str, schema: &Value) -> String {
    let only = |key: &str| schema.as_object().filter(|members| members.len() == 1).and_then(|m| m.get(key));
    let said = match (only("const"), only("enum").and_then(Value::as_array)) {
        (Some(value), _) => format!("{argument} = {}", word(value)),
        (None, Some(choice)) => {
            let choice: Vec<String> = choice.iter().map(word).collect();
            format!("{argument} = {}", choice.join(" | "))
        }
        (None, None) => format!("{argument}: {schema}"),
    };
    text(&said)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Characters that are not seen, or that turn the direction of what follows (Unicode's Cf and its like).
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_cannot_move_the_cursor_or_hide() {
        assert_eq!(text("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c d");
    }

    #[test]
    fn constraints_read_like_a_sentence() {
        assert_eq!(constraint("region", &json!({"const": "EMEA"})), "region = EMEA");
        assert_eq!(constraint("type", &json!({"enum": ["a", 1]})), "type = a | 1");
        assert_eq!(constraint("limit", &json!({"maximum": 5})), "limit: {\"maximum\":5}");
    }
}
