//! Whether a rule asks of own fields what they can answer.

use solmu_conditions::Checked;
use solmu_inquiry::{check, definitions_for};
use solmu_runtime::{ApiError, api_error::Violation};

use super::Service;

impl Service {
    /// Refuses a condition that names fields which are not there, or compares them with what they never hold. While the
    /// ticket service does not answer, it is taken as it is.
    pub(super) async fn check_fields(&self, condition: &Checked) -> Result<(), ApiError> {
        if !self.texts.is_configured() {
            return Ok(());
        }
        let definitions = match definitions_for(condition, self.texts.as_ref()).await {
            Ok(definitions) => definitions,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot check the own fields of a rule");
                return Ok(());
            }
        };
        let faults = check(condition, &definitions).into_iter();
        let violations: Vec<Violation> = faults
            .map(|sentence| Violation::new("rule.condition", sentence))
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(ApiError::InvalidArgument { violations })
        }
    }
}
