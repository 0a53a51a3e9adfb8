//! Where in a call's arguments a constraint stands: an argument, or a JSON Pointer (RFC 6901) into one.
//!
//! # Why a leading slash tells them apart
//! Names of arguments have dots and may have slashes within, and such a name must go on meaning itself. Hardly one begins
//! with a slash; one that does is written as a pointer (`/~1name`).

/// The way to a value.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::decide::constraint) struct Place {
    steps: Vec<Step>,
    written: bool,
}

/// One step down.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::decide::constraint) enum Step {
    /// To a member of an object.
    Member(String),
    /// To every element of an array.
    Each,
}

impl Place {
    /// Reads what policy wrote; an error says why it is no place.
    pub(in crate::decide::constraint) fn parse(text: &str) -> Result<Self, String> {
        let Some(pointer) = text.strip_prefix('/') else {
            return Ok(Self { steps: vec![Step::Member(text.to_owned())], written: false });
        };
        let steps: Vec<Step> = pointer.split('/').map(Step::parse).collect::<Result<_, _>>()?;
        match steps.first() {
            Some(Step::Member(_)) => Ok(Self { steps, written: true }),
            Some(Step::Each) | None => Err("must begin with the name of an argument".to_owned()),
        }
    }

    pub(in crate::decide::constraint) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it was written as a pointer.
    pub(in crate::decide::constraint) fn is_written(&self) -> bool {
        self.written
    }
}

impl Step {
    fn parse(segment: &str) -> Result<Self, String> {
        if segment == "*" {
            return Ok(Self::Each);
        }
        let stray = |rest: &str| !rest.starts_with(['0', '1']);
        if segment.split('~').skip(1).any(stray) {
            return Err("is no JSON Pointer: write `~0` for `~` and `~1` for `/`".to_owned());
        }
        Ok(Self::Member(segment.replace("~1", "/").replace("~0", "~")))
    }

    /// The pointer `at` with this step behind it.
    pub(in crate::decide::constraint) fn onto(&self, at: &str) -> String {
        match self {
            Self::Member(name) => below(at, name),
            Self::Each => format!("{at}/*"),
        }
    }
}

/// The pointer to the member `name` of what is at `at`.
pub(in crate::decide::constraint) fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
