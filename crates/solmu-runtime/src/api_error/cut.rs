//! Keeps what an error says short.
//!
//! A status travels in headers, and many calls share one connection. Peers refuse headers above some 16 KiB, and take
//! much longer ones for an attack and end the connection, with everybody's calls on it. Errors repeat what a caller has
//! sent, which can be megabytes. So what comes from outside is cut here, in the one place that makes statuses.

use std::borrow::Cow;

use tonic_types::FieldViolation;

use super::Violation;

/// Characters of a value that an error repeats, at most.
pub const MAX_ECHO: usize = 200;
/// Bytes of one sentence at most. Percent encoding makes up to three times as many of it.
const MAX_SENTENCE: usize = 1024;
/// Bytes of all violations of a request together, at most.
const MAX_VIOLATIONS: usize = 3 * 1024;
/// Bytes of an encoded `google.rpc.Status` at most: 11 KiB as a header, beside 3 KiB of the sentence.
pub(super) const MAX_STATUS: usize = 8 * 1024;
/// Bytes that a violation costs beside its texts.
const OVERHEAD: usize = 16;
/// What stands where something was left out.
const GAP: &str = " [...] ";

/// A value that the caller has sent, as an error may repeat it: its beginning, if it is long.
#[must_use]
pub fn echo(value: &str) -> Cow<'_, str> {
    match value.char_indices().nth(MAX_ECHO) {
        Some((end, _)) => Cow::Owned(format!("{}...", &value[..end])),
        None => Cow::Borrowed(value),
    }
}

/// A sentence. Of a long one the beginning and the end stay: what is wrong stands behind the value that is repeated.
pub(super) fn sentence(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_SENTENCE {
        return Cow::Borrowed(text);
    }
    let half = (MAX_SENTENCE - GAP.len()) / 2;
    let end = text.floor_char_boundary(half);
    let begin = text.ceil_char_boundary(text.len() - half);
    Cow::Owned(format!("{}{GAP}{}", &text[..end], &text[begin..]))
}

/// The violations that there is room for; the last one says how many more there are.
pub(super) fn violations(all: &[Violation]) -> Vec<FieldViolation> {
    let mut left = MAX_VIOLATIONS;
    let mut kept = Vec::new();
    for violation in all {
        let (field, said) = (echo(&violation.field), sentence(&violation.description));
        let cost = field.len() + said.len() + OVERHEAD;
        if cost > left {
            let more = format!("and {} more", all.len() - kept.len());
            kept.push(FieldViolation::new("", more));
            break;
        }
        left -= cost;
        kept.push(FieldViolation::new(field, said));
    }
    kept
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::api_error::ApiError;

    /// Bytes of the headers that the status travels in.
    fn size(status: Status) -> usize {
        let headers = status.into_http::<()>().headers().clone();
        headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum()
    }

    #[test]
    fn a_short_text_stays_and_of_a_long_one_both_ends() {
        assert_eq!(echo("abc"), "abc");
        assert_eq!(echo(&"ä".repeat(201)), format!("{}...", "ä".repeat(200)));
        let said = format!("'{}' is not a UUID", "\u{1f600}".repeat(90_000));
        let cut = sentence(&said);
        assert!(cut.len() <= MAX_SENTENCE, "{}", cut.len());
        assert!(cut.starts_with("'\u{1f600}") && cut.ends_with("' is not a UUID"));
        assert_eq!(sentence("no"), "no");
    }

    #[test]
    fn no_error_is_longer_than_peers_take() {
        for long in ["x".repeat(300_000), "\u{1f600}".repeat(75_000)] {
            let many = (0..5000).map(|at| Violation::new(format!("ids[{at}]"), &long));
            let errors = [
                ApiError::not_found("ticket", &long),
                ApiError::invalid(&long, &long),
                ApiError::InvalidArgument {
                    violations: many.collect(),
                },
                ApiError::FailedPrecondition {
                    reason: "X",
                    message: long.clone(),
                },
                ApiError::AlreadyExists {
                    resource: "x",
                    id: long.clone(),
                },
                ApiError::invalid("a", "b").with_detail("x.Y", &long),
            ];
            for error in errors {
                let reason = error.reason();
                let status = Status::from(error);
                let info = status.get_error_details().error_info().cloned().unwrap();
                assert_eq!(info.reason, reason);
                assert_ne!(status.code(), Code::Unknown);
                let size = size(status);
                assert!(size < 15 * 1024, "{reason}: {size} bytes");
            }
        }
    }

    #[test]
    fn how_many_violations_are_left_out_is_said() {
        let said = "y".repeat(300);
        let all: Vec<_> = (0..100).map(|_| Violation::new("a", &said)).collect();
        let kept = violations(&all);
        assert!(kept.len() < 12);
        let last = kept.last().unwrap();
        assert_eq!(
            last.description,
            format!("and {} more", 100 - (kept.len() - 1))
        );
    }
}
