//! Field masks in JSON.
//!
//! JSON writes the paths of a mask in camel case, and protobuf's reader turns them back: `orderNo` is `order_no`. Names
//! that people choose, as those of custom fields, do not survive this: `fields.order_no` is refused and `fields.a_1` has
//! no form at all. So paths are taken as they are in the proto, too. To know where a body is wrong its text is read and
//! not a tree, so a mask is read out of the text, and an empty one left in its place: all else stays where it was.

use std::ops::Range;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// The type of masks.
const MASK: &str = "google.protobuf.FieldMask";

/// The body without its masks, and what they are.
pub(crate) struct Unmasked {
    pub(crate) body: Vec<u8>,
    masks: Vec<(FieldDescriptor, String)>,
}

/// Takes the masks out of a body, if its message can have some.
pub(crate) fn take(descriptor: &MessageDescriptor, body: &[u8]) -> Option<Unmasked> {
    let fields = descriptor.fields().filter(is_mask);
    let fields: Vec<FieldDescriptor> = fields.collect();
    if fields.is_empty() {
        return None;
    }
    let mut unmasked = Unmasked {
        body: body.to_vec(),
        masks: Vec::new(),
    };
    for (name, value) in texts(body) {
        let text = |range: Range<usize>| serde_json::from_slice::<String>(&body[range]).ok();
        let Some(name) = text(name) else { continue };
        let field = fields
            .iter()
            .find(|field| field.json_name() == name || field.name() == name);
        let (Some(field), Some(mask)) = (field, text(value.clone())) else {
            continue;
        };
        // An empty text, and blanks as far as the mask went.
        let (quotes, blanks) = unmasked.body[value].split_at_mut(2);
        quotes.copy_from_slice(b"\"\"");
        blanks.fill(b' ');
        unmasked.masks.push((field.clone(), mask));
    }
    Some(unmasked)
}

impl Unmasked {
    /// Puts the masks into the message that the rest was read as.
    pub(crate) fn fill(self, message: &mut DynamicMessage) {
        for (field, text) in self.masks {
            let Kind::Message(kind) = field.kind() else {
                continue;
            };
            let paths = text.split(',').map(str::trim).filter(|it| !it.is_empty());
            let paths = paths.map(|it| Value::String(path(it))).collect();
            let mut mask = DynamicMessage::new(kind);
            mask.set_field_by_name("paths", Value::List(paths));
            message.set_field(&field, Value::Message(mask));
        }
    }
}

fn is_mask(field: &FieldDescriptor) -> bool {
    let Kind::Message(kind) = field.kind() else {
        return false;
    };
    kind.full_name() == MASK && !field.is_list() && !field.is_map()
}

/// A path as the proto writes it. A part with `_` is written so already; in any other, capitals begin a word.
fn path(text: &str) -> String {
    let parts = text.split('.').map(|part| {
        if part.contains('_') {
            return part.to_owned();
        }
        let mut snake = String::with_capacity(part.len() + 4);
        for letter in part.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        snake
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Where the members of the outermost object stand whose values are texts: name and value, with their quotes.
fn texts(body: &[u8]) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut found, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    // The last text, and whether a colon came after it.
    let mut name: Option<(Range<usize>, bool)> = None;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => {
                let text = at..end_of_text(body, at);
                at = text.end;
                name = match name.take() {
                    Some((name, true)) if depth == 1 => {
                        found.push((name, text));
                        None
                    }
                    _ => Some((text, false)),
                };
                continue;
            }
            b':' => name = name.map(|(name, _)| (name, true)),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n') {
            name = None;
        }
        at += 1;
    }
    found
}

/// Behind the closing quote of the text that begins at `start`, or the end of all.
fn end_of_text(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use solmu_proto::ticket::v1::UpdateTicketRequest;
    use solmu_runtime::ApiError;

    use crate::{methods::Methods, read::read};

    fn update(body: &str) -> Result<UpdateTicketRequest, ApiError> {
        let path = "/v1/solmu.ticket.v1.TicketService/UpdateTicket";
        let input = Methods::of_api().unwrap().at(path).unwrap().input.clone();
        let message = read(&input, body.as_bytes())?;
        Ok(UpdateTicketRequest::decode(message.encode_to_vec().as_slice()).unwrap())
    }

    fn paths(mask: &str) -> Vec<String> {
        let body = format!("{{\"updateMask\": {mask}, \"ticket\": {{\"id\": \"7\"}}}}");
        let request = update(&body).unwrap();
        assert_eq!(request.ticket.unwrap().id, "7");
        request.update_mask.unwrap().paths
    }

    #[test]
    fn paths_come_in_both_spellings() {
        assert_eq!(paths("\"teamId\""), ["team_id"]);
        assert_eq!(paths("\"team_id,priority\""), ["team_id", "priority"]);
        assert_eq!(paths("\"fields.orderNo\""), ["fields.order_no"]);
        assert_eq!(paths("\"fields.order_no\""), ["fields.order_no"]);
        assert_eq!(
            paths("\"fields.a_1, fields.a1\""),
            ["fields.a_1", "fields.a1"]
        );
        assert_eq!(paths("\"fields\\u002ea_1\""), ["fields.a_1"]);
        assert_eq!(paths("\"\""), Vec::<String>::new());
    }

    #[test]
    fn only_the_mask_of_the_request_is_one() {
        let body = r#"{"ticket": {"subject": "a \"updateMask\": \"x\"", "tags": ["update_mask", "y"]},
            "update_mask": "subject"}"#;
        let request = update(body).unwrap();
        let ticket = request.ticket.unwrap();
        assert_eq!(ticket.subject, "a \"updateMask\": \"x\"");
        assert_eq!(ticket.tags, ["update_mask", "y"]);
        assert_eq!(request.update_mask.unwrap().paths, ["subject"]);
        assert!(
            update(r#"{"ticket": {"id": "7"}}"#)
                .unwrap()
                .update_mask
                .is_none()
        );
    }

    #[test]
    fn what_is_wrong_beside_a_mask_stands_where_it_stood() {
        let body = "{\"updateMask\": \"fields.order_no\",\n \"ticket\": {\"id\": 7}}";
        let Err(ApiError::InvalidArgument { violations }) = update(body) else {
            panic!("taken");
        };
        assert_eq!(violations[0].field, "ticket.id");
        let said = &violations[0].description;
        assert!(said.contains("line 2 column"), "{said}");
        for bad in [
            "{\"updateMask\": 7}",
            "{\"updateMask\": \"a",
            "{\"updateMask\": \"a\\",
            "\"updateMask\":\"a\"",
        ] {
            assert!(update(bad).is_err(), "{bad}");
        }
    }
}
