//! Holds the tree against the schema: every unknown key, wrong type and wrong text at once.
//!
//! # Why the schema, and not serde
//! serde stops at its first mistake. The schema that is published is the one that is enforced, and what it refuses is
//! cut out of the tree, so that the rest can still be looked at for mistakes of meaning.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::leaf::FORMATS;
use super::problem::{At, Misfit, Place, listed, nearest};
use super::source::{Node, Slip};

/// Cuts everything out of `tree` that does not fit `schema`, and says what that was. What is left fits, but for a root
/// that is not a map.
pub(super) fn fit(tree: &mut Node, schema: &Value) -> Vec<Slip> {
    let Ok(validator) = validator(schema) else { return Vec::new() };
    let written = tree.clone();
    let found = mistakes(&validator, schema, &written);
    let mut wrong: Vec<At> = found.iter().map(|mistake| mistake.at.clone()).collect();
    while !wrong.is_empty() {
        // From the last to the first, so that the indices of a list stay right.
        wrong.sort_by_key(|at| std::cmp::Reverse(written_order(tree, at)));
        wrong.dedup();
        if wrong.iter().filter(|at| tree.cut(at)).count() == 0 {
            break;
        }
        wrong = mistakes(&validator, schema, tree).into_iter().map(|mistake| mistake.at).collect();
    }
    found.into_iter().map(|mistake| mistake.slip(&written)).collect()
}

/// What is wrong, and what to cut out.
struct Mistake {
    at: At,
    /// The key that the operator is told; differs from `at` where a key is missing.
    named: At,
    is_unknown: bool,
    misfit: Misfit,
}

impl Mistake {
    fn slip(self, tree: &Node) -> Slip {
        let (value, _) = tree.locate(&self.at);
        let place = if self.is_unknown { tree.key_place(&self.at).unwrap_or(value) } else { value };
        Slip { place, at: self.named, misfit: self.misfit }
    }
}

fn written_order(tree: &Node, at: &At) -> (Place, usize) {
    (tree.find(at).map_or(tree.place, |node| node.place), at.steps().len())
}

fn validator(schema: &Value) -> Result<Validator, ()> {
    let mut options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    for format in FORMATS {
        options = options.with_format(format.name, |text| (format.fits)(text).is_ok());
    }
    options.build(schema).map_err(drop)
}

fn mistakes(validator: &Validator, schema: &Value, tree: &Node) -> Vec<Mistake> {
    let value = tree.value();
    let explain = Explain { schema, tree };
    validator.iter_errors(&value).flat_map(|error| explain.error(&error)).collect()
}

struct Explain<'a> {
    schema: &'a Value,
    tree: &'a Node,
}

impl Explain<'_> {
    fn error(&self, error: &ValidationError<'_>) -> Vec<Mistake> {
        let at = self.tree.walk(error.instance_path().as_str());
        let one = |misfit| vec![Mistake { at: at.clone(), named: at.clone(), is_unknown: false, misfit }];
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let unknown = |key: &String| Mistake {
                    at: at.key(key),
                    named: at.key(key),
                    is_unknown: true,
                    misfit: self.unknown(key, error),
                };
                unexpected.iter().map(unknown).collect()
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let misfit = Misfit::new("is missing", "it has no default: give it");
                vec![Mistake { at: at.clone(), named: at.key(key), is_unknown: false, misfit }]
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                match self.meant(&at, context) {
                    Some(errors) => errors.iter().flat_map(|error| self.error(error)).collect(),
                    None => one(self.none_of(error)),
                }
            }
            ValidationErrorKind::Type { kind } => one(wrong_type(kind, error.instance(), self.around(error))),
            ValidationErrorKind::Format { format } => one(wrong_text(format, error.instance())),
            ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
                one(self.none_of(error))
            }
            ValidationErrorKind::MinItems { .. } | ValidationErrorKind::MinProperties { .. } => one(
                Misfit::new("is empty, and empty never means all", "give at least one, or remove the key"),
            ),
            ValidationErrorKind::Minimum { limit } => {
                one(Misfit::new(format!("is less than {limit}"), format!("give {limit} or more")))
            }
            ValidationErrorKind::Maximum { limit } => {
                one(Misfit::new(format!("is more than {limit}"), format!("give {limit} or less")))
            }
            _ => one(Misfit::new("does not fit the schema", "compare with `portcullis config schema`")),
        }
    }

    fn unknown(&self, key: &str, error: &ValidationError<'_>) -> Misfit {
        let object = self.around(error);
        let known: Vec<&str> = object
            .and_then(|object| object.get("properties")?.as_object())
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        match nearest(key, known.iter().copied()) {
            Some(near) => Misfit::new("is not a known key", format!("did you mean `{near}`?")),
            None => Misfit::new("is not a known key", format!("known here: {}", listed(known))),
        }
    }

    /// The branch that the operator meant: the only one of the right kind, or the only one that has its key.
    fn meant<'e>(
        &self,
        at: &At,
        branches: &'e [Vec<ValidationError<'static>>],
    ) -> Option<&'e Vec<ValidationError<'static>>> {
        let here = |error: &ValidationError<'_>| self.tree.walk(error.instance_path().as_str()) == *at;
        let of_kind = |errors: &&Vec<ValidationError<'static>>| {
            !errors.iter().any(|error| here(error) && is_other_kind(error))
        };
        let has_key = |errors: &&Vec<ValidationError<'static>>| {
            !errors.iter().any(|error| {
                here(error)
                    && matches!(
                        error.kind(),
                        ValidationErrorKind::Required { .. }
                            | ValidationErrorKind::AdditionalProperties { .. }
                    )
            })
        };
        let candidates: Vec<_> = branches.iter().filter(of_kind).collect();
        match candidates.as_slice() {
            [only] if !self.alternatives_are_keys(at, branches) => Some(only),
            several => match several.iter().copied().filter(has_key).collect::<Vec<_>>().as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
    }

    /// Whether each alternative is a map of one key, so that a wrong key is a wrong alternative.
    fn alternatives_are_keys(&self, at: &At, branches: &[Vec<ValidationError<'static>>]) -> bool {
        let wants_key = |errors: &&Vec<ValidationError<'static>>| {
            errors.iter().any(|error| matches!(error.kind(), ValidationErrorKind::Required { .. }))
        };
        self.tree.find(at).is_some_and(|node| !node.keys().is_empty())
            && branches.iter().filter(wants_key).count() > 1
    }

    fn none_of(&self, error: &ValidationError<'_>) -> Misfit {
        let alternatives = self.around(error).map(|object| self.alternatives(object)).unwrap_or_default();
        let fix = format!("give one of {}", listed(alternatives.iter().map(String::as_str)));
        match error.instance().as_ref() {
            Value::Object(object) if object.len() != 1 => Misfit::new("takes exactly one key", fix),
            Value::Object(object) => {
                let key = object.keys().next().map_or("", String::as_str);
                Misfit::new(format!("does not know `{key}`"), fix)
            }
            other => Misfit::new(format!("is {} that is not known here", kind_of(other)), fix),
        }
    }

    /// The object of the schema in which the keyword of `error` stands.
    fn around(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let path = error.schema_path().as_str();
        let (parent, _) = path.rsplit_once('/')?;
        self.schema.pointer(parent)
    }

    fn alternatives(&self, schema: &Value) -> Vec<String> {
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        if let Some(branches) = list("oneOf").or_else(|| list("anyOf")) {
            return branches.iter().flat_map(|branch| self.alternatives(branch)).collect();
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.schema.pointer(name.trim_start_matches('#'));
            return target.map(|target| self.alternatives(target)).unwrap_or_default();
        }
        if let Some(words) = list("enum") {
            return words.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        if let Some(word) = schema.get("const").and_then(Value::as_str) {
            return vec![word.to_owned()];
        }
        if let Some(keys) = list("required") {
            return keys.iter().filter_map(Value::as_str).map(|key| format!("{{{key}: …}}")).collect();
        }
        let keys = schema.get("properties").and_then(Value::as_object);
        keys.into_iter().flat_map(|keys| keys.keys()).map(|key| format!("{{{key}: …}}")).collect()
    }
}

/// Whether the value is of another kind than this alternative takes: nothing inside of it needs to be told.
fn is_other_kind(error: &ValidationError<'_>) -> bool {
    match error.kind() {
        ValidationErrorKind::Type { .. }
        | ValidationErrorKind::Enum { .. }
        | ValidationErrorKind::Constant { .. } => true,
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let here = |inner: &ValidationError<'_>| inner.instance_path() == error.instance_path();
            context.iter().all(|errors| errors.iter().any(|inner| here(inner) && is_other_kind(inner)))
        }
        _ => false,
    }
}

/// The value is not repeated: it may be a secret in the wrong place.
fn wrong_type(expected: &TypeKind, found: &Value, schema: Option<&Value>) -> Misfit {
    let expected: Vec<String> = match expected {
        TypeKind::Single(kind) => vec![kind.to_string()],
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect(),
    };
    let words: Vec<&str> = expected.iter().map(|name| in_words(name)).collect();
    let format = schema.and_then(|schema| schema.get("format")?.as_str());
    let quoted = format.and_then(|format| misfit(format, &found.to_string()));
    let fix = match (found, quoted, expected.iter().any(|name| name == "string")) {
        (Value::Number(_) | Value::Bool(_), Some(misfit), true) => misfit.fix,
        (Value::Number(_) | Value::Bool(_), None, true) => "put it in quotes".to_owned(),
        _ => format!("give {}", words.join(" or ")),
    };
    Misfit::new(format!("is {} where {} is expected", kind_of(found), words.join(" or ")), fix)
}

fn wrong_text(format: &str, found: &Value) -> Misfit {
    let text = found.as_str().unwrap_or_default();
    misfit(format, text).unwrap_or_else(|| {
        Misfit::new("is not of the expected form", "compare with `portcullis config schema`")
    })
}

fn misfit(format: &str, text: &str) -> Option<Misfit> {
    FORMATS.iter().find(|known| known.name == format).and_then(|known| (known.fits)(text).err())
}

fn in_words(kind: &str) -> &'static str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map of keys",
        _ => "another value",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map of keys",
    }
}
