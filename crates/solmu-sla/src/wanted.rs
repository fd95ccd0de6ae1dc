//! Requests for calendars and policies, checked: everything that is wrong is reported at once, each with its field.

mod policy;

use solmu_domain::sla::{Calendar, CalendarSpec};
use solmu_proto::sla::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation};

pub(crate) use policy::{WantedPolicy, etag, policy_to_proto};

/// Characters of a display name at most.
const NAME_MAX: usize = 100;
/// Bytes of a calendar's definition at most: hundreds of years of holidays.
const DEFINITION_MAX: usize = 64 * 1024;

/// A valid calendar.
#[derive(Debug)]
pub(crate) struct WantedCalendar {
    pub(crate) display_name: String,
    pub(crate) definition: CalendarSpec,
}

/// What is wrong so far.
#[derive(Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// The value, or what is wrong with it.
    fn take<T>(&mut self, field: &str, value: Result<T, impl std::fmt::Display>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }

    fn name(&mut self, field: &str, name: &str) -> String {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX {
            self.add(field, format!("must have 1 to {NAME_MAX} characters"));
        }
        name.to_owned()
    }

    fn into_error(self) -> ApiError {
        ApiError::InvalidArgument { violations: self.0 }
    }
}

impl WantedCalendar {
    pub(crate) fn parse(calendar: Option<proto::Calendar>) -> Result<Self, ApiError> {
        let calendar = calendar.ok_or_else(|| ApiError::invalid("calendar", "is missing"))?;
        let mut violations = Violations::default();
        let display_name = violations.name("calendar.display_name", &calendar.display_name);
        let definition = definition_in(
            "calendar.definition_json",
            &calendar.definition_json,
            &mut violations,
        );
        match definition {
            Some(definition) if violations.0.is_empty() => Ok(Self {
                display_name,
                definition,
            }),
            _ => Err(violations.into_error()),
        }
    }
}

/// A definition that was sent by itself.
pub(crate) fn definition(field: &str, json: &str) -> Result<CalendarSpec, ApiError> {
    let mut violations = Violations::default();
    let definition = definition_in(field, json, &mut violations);
    definition.ok_or_else(|| violations.into_error())
}

/// What is too long, or not valid, with what was added to it.
pub(crate) fn check_definition(field: &str, spec: &CalendarSpec) -> Result<(), ApiError> {
    let json = serde_json::to_string(spec).map_err(ApiError::internal)?;
    definition(field, &json).map(|_| ())
}

/// The id in a field.
pub(crate) fn id_in<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error| ApiError::invalid(field, format!("{error}")))
}

fn definition_in(field: &str, json: &str, violations: &mut Violations) -> Option<CalendarSpec> {
    if json.len() > DEFINITION_MAX {
        violations.add(field, format!("has more than {DEFINITION_MAX} bytes"));
        return None;
    }
    let spec: CalendarSpec = violations.take(field, serde_json::from_str(json))?;
    if let Err(error) = Calendar::new(&spec) {
        violations.add(format!("{field}.{}", error.field()), error.to_string());
        return None;
    }
    Some(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: ApiError) -> Vec<String> {
        match error {
            ApiError::InvalidArgument { violations } => {
                violations.into_iter().map(|it| it.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_of_a_calendar_has_its_field() {
        let refused = |definition: &str| {
            let calendar = proto::Calendar {
                display_name: "Office".to_owned(),
                definition_json: definition.to_owned(),
                ..proto::Calendar::default()
            };
            fields(WantedCalendar::parse(Some(calendar)).unwrap_err())
        };
        assert_eq!(refused("{"), ["calendar.definition_json"]);
        assert_eq!(
            refused(r#"{"tz": "Mars/Olympus", "always_open": true}"#),
            ["calendar.definition_json.tz"]
        );
        assert_eq!(
            refused(r#"{"hours": {"mon": [["08:00", "25:00"]]}}"#),
            ["calendar.definition_json.hours.mon[0]"]
        );
        assert_eq!(refused("{}"), ["calendar.definition_json.hours"]);
    }
}
