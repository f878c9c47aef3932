//! How a process ends: the exit code, and an error told as one sentence.

use std::{error::Error, fmt::Write as _, process::ExitCode};

/// Exit codes shared by all binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Done = 0,
    /// Failed, for a reason told on standard error.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The configuration does not make sense (`EX_USAGE` of sysexits, kept for its 64).
    Configuration = 64,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// `error` and its causes, from what failed to why: `cannot open x: permission denied`.
#[must_use]
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        // Transparent wrappers repeat the words of their cause.
        if !text.ends_with(&told) && write!(text, ": {told}").is_err() {
            break;
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the map")]
    struct Outer(#[from] io::Error);

    #[test]
    fn a_sentence_names_each_cause_once() {
        let error = Outer(fs::read("/nowhere/at/all").unwrap_err());
        assert!(sentence(&error).starts_with("cannot read the map: No such file"));
        let transparent = crate::Error::from(crate::config::Mistakes::default());
        assert_eq!(sentence(&transparent), transparent.to_string());
    }
}
