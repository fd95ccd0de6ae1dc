//! Fields that many requests have.

use uuid::Uuid;

use crate::{ApiError, api_error::echo};

/// The UUID in the field `field` of a request.
pub fn uuid(field: &str, text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text)
        .map_err(|_| ApiError::invalid(field, format!("'{}' is not a UUID", echo(text))))
}

/// The UUID in a field that may be left out.
pub fn optional_uuid(field: &str, text: &str) -> Result<Option<Uuid>, ApiError> {
    if text.is_empty() {
        Ok(None)
    } else {
        uuid(field, text).map(Some)
    }
}
