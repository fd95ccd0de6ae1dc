//! SLA cases as JSON lines, for `solmu sla eval`.

use solmu_domain::sla::eval::{EvalError, eval_case};

/// Why a line cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalLineError {
    /// The line is no JSON.
    #[error("the line is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The case is wrong.
    #[error("the case cannot be evaluated")]
    Case(#[from] EvalError),
}

/// Evaluates one case, a JSON object on one line, and answers with one: `{"id": ..., ...}` with the fields of the case's
/// `expect`. See [`solmu_domain::sla::eval`] for the kinds of cases.
pub fn eval_line(line: &str) -> Result<String, EvalLineError> {
    let case = serde_json::from_str(line).map_err(EvalLineError::NotJson)?;
    Ok(eval_case(case)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_a_line_out() {
        let line = r#"{"id": "a", "kind": "due", "start": "2026-11-06T15:00:00Z",
            "calendar": {"tz": "UTC", "hours": {"fri": [["08:00", "16:00"]], "mon": [["08:00", "16:00"]]}},
            "policy": {"target_s": 7200}}"#;
        assert_eq!(
            eval_line(line).unwrap(),
            r#"{"due":"2026-11-09T09:00:00Z","id":"a"}"#
        );
        assert!(matches!(eval_line("{"), Err(EvalLineError::NotJson(_))));
        assert!(matches!(eval_line("{}"), Err(EvalLineError::Case(_))));
    }
}
