//! Fields that many requests have.

use uuid::Uuid;

use crate::ApiError;

/// The UUID in the field `field` of a request.
pub fn uuid(field: &str, text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text).map_err(|_| ApiError::invalid(field, format!("'{text}' is not a UUID")))
}

/// The UUID in a field that may be left out.
pub fn optional_uuid(field: &str, text: &str) -> Result<Option<Uuid>, ApiError> {
    if text.is_empty() {
        Ok(None)
    } else {
        uuid(field, text).map(Some)
    }
}
