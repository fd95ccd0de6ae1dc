//! SLA cases as JSON lines, for `solmu sla eval`.

use solmu_domain::sla::eval::{EvalError, eval_case};

/// Why a line cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalLineError {
    /// The line is no JSON.
    #[error("the line is not JSON: {}", fault(.0))]
    NotJson(serde_json::Error),
    /// The case is wrong.
    #[error("the case cannot be evaluated")]
    Case(#[from] EvalError),
}

/// With the column alone: the line is told by whoever knows it.
fn fault(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column", ", column")
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
        let broken = eval_line("{").unwrap_err().to_string();
        assert_eq!(
            broken,
            "the line is not JSON: EOF while parsing an object, column 1"
        );
        assert!(matches!(eval_line("{}"), Err(EvalLineError::Case(_))));
    }

    #[test]
    fn no_target_is_less_than_zero() {
        let said = |policy: &str| {
            let kind = if policy.contains("targets") {
                "ticket"
            } else {
                "due"
            };
            let line = format!(
                r#"{{"id": "a", "kind": "{kind}", "start": "2026-11-06T15:00:00Z", "calendar": {{"always_open": true}},
                    "policy": {policy}}}"#
            );
            let error = eval_line(&line).err()?;
            let source = std::error::Error::source(&error)?;
            Some(source.to_string())
        };
        assert_eq!(said(r#"{"target_s": 0}"#), None);
        assert_eq!(
            said(r#"{"target_s": -1}"#).unwrap(),
            "policy.target_s is -1: it must not be less than zero"
        );
        let targets =
            r#"{"targets": {"urgent": {"resolution": 60}, "*": {"first_response": -60}}}"#;
        assert_eq!(
            said(targets).unwrap(),
            "policy.targets.*.first_response is -60: it must not be less than zero"
        );
        let warning = r#"{"targets": {"*": {"first_response": 60}}, "remind_before_s": -5}"#;
        assert!(
            said(warning)
                .unwrap()
                .starts_with("policy.remind_before_s is -5")
        );
    }
}
