//! Where the virtual machine answers differently, each form as small as it gets. The interpreter gives what OPA gives.

/// What an engine says, as JSON; none where it is undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A value.
    Json(&'static str),
    /// None.
    Undefined,
    /// A refusal.
    Error,
}

/// One form.
pub struct Known {
    /// In words.
    pub form: &'static str,
    /// The rules; `r` is asked.
    pub rules: &'static str,
    /// The question.
    pub input: &'static str,
    /// What is right.
    pub interpreter: Answer,
    /// What the machine makes of it.
    pub machine: Answer,
}

/// The forms.
pub const KNOWN: [Known; 9] = [
    Known {
        form: "an `else` after a body whose loop finds nothing",
        rules: "r := \"a\" if {\n\tsome x in input.l\n\tx == \"none\"\n} else := \"b\"",
        input: r#"{"l": [1]}"#,
        interpreter: Answer::Json("\"b\""),
        machine: Answer::Undefined,
    },
    Known {
        form: "a name for what is undefined",
        rules: "r if {\n\tx := input.o[input.a]\n}",
        input: r#"{"o": {}}"#,
        interpreter: Answer::Undefined,
        machine: Answer::Json("true"),
    },
    Known {
        form: "a name for what is undefined, beside a loop",
        rules: "r contains x if {\n\towner := input.owner\n\tsome x in input.l\n}",
        input: r#"{"l": [1]}"#,
        interpreter: Answer::Json("[]"),
        machine: Answer::Json("[1]"),
    },
    Known {
        form: "what is undefined in a comprehension",
        rules: "r := count([v | some k in [\"a\", \"b\"]; v := f(k)])\n\nf(k) := 1 if k == \"a\"",
        input: "{}",
        interpreter: Answer::Json("1"),
        machine: Answer::Json("2"),
    },
    Known {
        form: "dots in a head",
        rules: "blocked.a := true\n\nblocked.b := true\n\nr if not blocked[input.k]",
        input: r#"{"k": "a"}"#,
        interpreter: Answer::Undefined,
        machine: Answer::Json("true"),
    },
    Known {
        form: "a variable in the head of a set",
        rules: "deny[input.k] contains \"no\" if input.q\n\nr if not deny[input.k]",
        input: r#"{"k": "a", "q": true}"#,
        interpreter: Answer::Undefined,
        machine: Answer::Json("true"),
    },
    Known {
        form: "a function's default",
        rules: "default risk(_) := 100\n\nrisk(a) := 1 if a == \"z\"\n\nr if not risk(input.k) > 50",
        input: r#"{"k": "a"}"#,
        interpreter: Answer::Undefined,
        machine: Answer::Json("true"),
    },
    Known {
        form: "two values for one rule",
        rules: "r := x if some x in input.l",
        input: r#"{"l": [1, 2]}"#,
        interpreter: Answer::Error,
        machine: Answer::Json("2"),
    },
    Known {
        form: "a loop over what is no collection",
        rules: "r if some x in input.l",
        input: r#"{"l": 1}"#,
        interpreter: Answer::Error,
        machine: Answer::Undefined,
    },
];
