//! The body of a call as the message that its method takes, or what is wrong with it, and where.
//!
//! The caller is told the field by its path and the place in the text, as it is for every other error of a request: a
//! body of some thousand lines cannot be mended by "bad request".

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde_path_to_error::{Path, Segment, Track};
use solmu_runtime::{ApiError, api_error::Violation};

use crate::mask;

/// What a violation is about when no field can be named: the text is no JSON, or no object.
const WHOLE: &str = "body";
/// How the reader begins its words about a field that there is not. It names it, and gives the place of its parent.
const UNKNOWN: &str = "unrecognized field name '";

/// The message that the body is. Nothing at all is an empty one.
pub(crate) fn read(
    descriptor: &MessageDescriptor,
    body: &[u8],
) -> Result<DynamicMessage, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(DynamicMessage::new(descriptor.clone()));
    }
    let unmasked = mask::take(descriptor, body);
    let text = unmasked.as_ref().map_or(body, |unmasked| &unmasked.body);
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let message = DynamicMessage::deserialize(descriptor.clone(), tracked)
        .and_then(|message| json.end().map(|()| message));
    let mut message = message.map_err(|error| {
        let violation = violation(descriptor, &track.path(), &error);
        ApiError::InvalidArgument {
            violations: vec![violation],
        }
    })?;
    if let Some(unmasked) = unmasked {
        unmasked.fill(&mut message);
    }
    Ok(message)
}

fn violation(descriptor: &MessageDescriptor, path: &Path, error: &serde_json::Error) -> Violation {
    let said = error.to_string();
    let mut field = field_path(descriptor, path);
    let unknown = said
        .strip_prefix(UNKNOWN)
        .and_then(|rest| rest.split_once('\''));
    if let Some((name, _)) = unknown {
        push(&mut field, name);
    }
    if field.is_empty() {
        WHOLE.clone_into(&mut field);
    }
    Violation::new(
        field,
        format!("no JSON of {}: {said}", descriptor.full_name()),
    )
}

/// The path with the names of the proto, as in every other violation: the caller may have written `displayName`.
fn field_path(descriptor: &MessageDescriptor, path: &Path) -> String {
    let mut at = Some(descriptor.clone());
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.extend(["[", &index.to_string(), "]"]),
            Segment::Map { key } => {
                let field = at.as_ref().and_then(|at| {
                    at.get_field_by_json_name(key)
                        .or_else(|| at.get_field_by_name(key))
                });
                push(&mut text, field.as_ref().map_or(key, |field| field.name()));
                at = field.and_then(|field| match field.kind() {
                    Kind::Message(message) => Some(message),
                    _ => None,
                });
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::Methods;

    fn input(path: &str) -> MessageDescriptor {
        Methods::of_api().unwrap().at(path).unwrap().input.clone()
    }

    fn fault(descriptor: &MessageDescriptor, body: &str) -> (String, String) {
        match read(descriptor, body.as_bytes()) {
            Err(ApiError::InvalidArgument { mut violations }) => {
                let violation = violations.remove(0);
                (violation.field, violation.description)
            }
            other => panic!("{body}: {:?}", other.map(|_| ())),
        }
    }

    #[test]
    fn messages_take_both_spellings_and_no_unknown_field() {
        let input = input("/v1/solmu.ticket.v1.TicketService/ListTickets");
        for body in [r#"{"pageSize": 7}"#, r#"{"page_size": 7}"#] {
            let message = read(&input, body.as_bytes()).unwrap();
            assert_eq!(
                message.get_field_by_name("page_size").unwrap().as_i32(),
                Some(7)
            );
        }
        assert!(read(&input, b" \n").is_ok());
        for (bad, field) in [
            ("{\"pages\": 7}", "pages"),
            ("{", "body"),
            ("[]", "body"),
            ("{} {}", "body"),
            ("{\"pageSize\": \"x\"}", "page_size"),
            ("{\"pageSize\": ", "page_size"),
        ] {
            assert_eq!(fault(&input, bad).0, field, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_deep_inside_is_named_with_its_place() {
        let input = input("/v1/solmu.access.v1.AccessService/CreateToken");
        let (field, said) = fault(&input, "{\"token\":\n  {\"displayName\": 7}}");
        assert_eq!(field, "token.display_name");
        assert!(said.contains("line 2"), "{said}");
        let (field, _) = fault(&input, r#"{"token": {"scopes": ["a", 1]}}"#);
        assert_eq!(field, "token.scopes[1]");
        let (field, _) = fault(&input, r#"{"token": {"rolle": 1}}"#);
        assert_eq!(field, "token.rolle");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let input = input("/v1/solmu.ticket.v1.TicketService/ListTickets");
        for bad in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert!(read(&input, bad.as_bytes()).is_err());
        }
    }
}
