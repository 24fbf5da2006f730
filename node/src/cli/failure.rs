//! The one failure type of all commands. SPEC: product, CLI: exit codes, and the error object of `--json`.

use serde_json::{Map, Value, json};
pub(crate) use starling_api::ExitCode as Exit;
use starling_api::{ApiError, Retry};

/// Why a command failed: a person reads `message` and `hint`, a program `code` and the exit code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) exit: Exit,
    /// Stable code: one of the API's, or one of the command line's own (`no_node`, `usage`, `port`, ...).
    pub(crate) code: String,
    /// What is wrong; may have several lines.
    pub(crate) message: String,
    more: Box<More>,
}

/// The rest, apart so that results stay small.
#[derive(Debug, Clone, PartialEq)]
struct More {
    /// What to do about it.
    hint: Option<String>,
    /// Whether the same command may succeed later.
    retry: Retry,
    /// The field of the request that is wrong.
    field: Option<String>,
    /// More, for programs.
    details: Map<String, Value>,
}

impl Failure {
    /// A failure without a hint.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            more: Box::new(More { hint: None, retry: Retry::Never, field: None, details: Map::new() }),
        }
    }

    /// Bad input.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "bad_request", message)
    }

    /// Something that should not happen.
    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::new(Exit::Unexpected, "internal", message)
    }

    /// With the next command, one of [`super::hints`].
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.more.hint = Some(hint.into());
        self
    }

    /// With a detail for programs.
    pub(crate) fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.details.insert(key.to_owned(), value.into());
        self
    }

    /// The end of a command whose reader has gone: not an error, and nobody is there to be told.
    pub(crate) fn reader_gone() -> Self {
        Self::new(Exit::Ok, "broken_pipe", "")
    }

    /// What to do about it.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.more.hint.as_deref()
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// The error object of `--json`, in the shape of the API's.
    pub(crate) fn to_json(&self) -> Value {
        let More { hint, retry, field, details } = &*self.more;
        let details = if details.is_empty() { Value::Null } else { Value::Object(details.clone()) };
        json!({
            "v": 1,
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": hint,
                "retry": retry,
                "field": field,
                "details": details,
            },
        })
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            exit: error.code.exit_code(),
            code: error.code.to_string(),
            message: error.message,
            more: Box::new(More {
                hint: error.hint,
                retry: error.retry,
                field: error.field,
                details: error.details.unwrap_or_default(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_api::Code;

    #[test]
    fn the_error_object_has_the_shape_of_the_api() {
        let error = ApiError::new(Code::NoSuchContact, "Nobody here is called 'Zed'.").hint("starling contacts");
        let failure = Failure::from(error.clone());
        assert_eq!(failure.exit, Exit::NotFound);
        let read: starling_api::error::ErrorBody = serde_json::from_value(failure.to_json()).unwrap();
        assert_eq!(read.error, error);
    }
}
