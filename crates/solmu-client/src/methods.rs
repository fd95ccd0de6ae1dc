//! Which calls may be made twice, read off the API's own descriptors.
//!
//! A method that only reads may; so may one that changes something under a request id, because the service answers a
//! repeat of it with what the first one did. What has neither must not be repeated when nobody knows what became of it.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// What the names of methods begin with that change nothing.
const READS: [&str; 12] = [
    "BatchGet",
    "DryRun",
    "Explain",
    "Export",
    "Get",
    "Heartbeat",
    "List",
    "Preview",
    "Render",
    "Search",
    "Verify",
    "Watch",
];
/// Bytes of a gRPC frame before its message: whether it is compressed, and how long it is.
const FRAME: usize = 5;

/// How a method takes being called twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or only says again what holds.
    Harmless,
    /// It is known again by the text in this field.
    ByRequestId(u32),
    /// It does its work twice.
    Harmful,
}

/// A method that takes one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) repeat: Repeat,
}

/// The method behind the path of a call; none for those that take a stream and for what is not ours.
pub(crate) fn of_path(path: &str) -> Option<Method> {
    static METHODS: LazyLock<HashMap<String, Method>> =
        LazyLock::new(|| read(solmu_proto::DESCRIPTOR_SET));
    METHODS.get(path).copied()
}

fn read(descriptors: &[u8]) -> HashMap<String, Method> {
    let set = FileDescriptorSet::decode(descriptors).unwrap_or_default();
    let mut request_ids = HashMap::new();
    for file in &set.file {
        for message in &file.message_type {
            let field = message.field.iter().find(|it| it.name() == "request_id");
            if let Some(number) = field.and_then(|field| u32::try_from(field.number()).ok()) {
                request_ids.insert(format!(".{}.{}", file.package(), message.name()), number);
            }
        }
    }
    let mut methods = HashMap::new();
    for file in &set.file {
        for service in &file.service {
            for method in service.method.iter().filter(|it| !it.client_streaming()) {
                let repeat = if READS.iter().any(|verb| method.name().starts_with(verb)) {
                    Repeat::Harmless
                } else if let Some(number) = request_ids.get(method.input_type()) {
                    Repeat::ByRequestId(*number)
                } else {
                    Repeat::Harmful
                };
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.insert(path, Method { repeat });
            }
        }
    }
    methods
}

impl Method {
    /// Whether the call with this body, one gRPC frame, may be made again although it may have had its effect.
    pub(crate) fn may_repeat(self, body: &[u8]) -> bool {
        match self.repeat {
            Repeat::Harmless => true,
            Repeat::ByRequestId(number) => {
                let plain = body.first() == Some(&0);
                plain && body.get(FRAME..).is_some_and(|it| has_text(it, number))
            }
            Repeat::Harmful => false,
        }
    }
}

/// Whether an encoded message has a text that is not empty in field `wanted`.
fn has_text(mut message: &[u8], wanted: u32) -> bool {
    while !message.is_empty() {
        let Ok((number, wire_type)) = prost::encoding::decode_key(&mut message) else {
            return false;
        };
        if number == wanted {
            return prost::encoding::decode_varint(&mut message).is_ok_and(|length| length > 0);
        }
        let context = prost::encoding::DecodeContext::default();
        if prost::encoding::skip_field(wire_type, number, &mut message, context).is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use solmu_proto::ticket::v1::{AddNoteRequest, GetTicketRequest};

    use super::*;

    fn frame(message: &impl prost::Message) -> Vec<u8> {
        [&[0; FRAME][..], &message.encode_to_vec()].concat()
    }

    #[test]
    fn what_reads_may_be_repeated() {
        let get = of_path("/solmu.ticket.v1.TicketService/GetTicket").unwrap();
        assert!(get.may_repeat(&frame(&GetTicketRequest::default())));
    }

    #[test]
    fn what_changes_may_be_repeated_under_its_request_id_only() {
        let add = of_path("/solmu.ticket.v1.TicketService/AddNote").unwrap();
        let mut note = AddNoteRequest {
            ticket_id: "t".to_owned(),
            text: "seen".to_owned(),
            request_id: "r-1".to_owned(),
            ..AddNoteRequest::default()
        };
        assert!(add.may_repeat(&frame(&note)));
        let mut compressed = frame(&note);
        compressed[0] = 1;
        assert!(!add.may_repeat(&compressed), "nobody can look into it");
        note.request_id.clear();
        assert!(!add.may_repeat(&frame(&note)));
        assert!(!add.may_repeat(&[0, 0, 0, 0, 9, 0xff]), "no message");
        let create = of_path("/solmu.access.v1.AccessService/CreateToken").unwrap();
        assert!(!create.may_repeat(&[0; FRAME]));
    }

    #[test]
    fn streams_of_requests_and_strangers_are_none_of_it() {
        assert_eq!(
            of_path("/solmu.routing.v1.RoutingService/KeepPresence"),
            None
        );
        assert_eq!(of_path("/made.up/Method"), None);
    }

    #[test]
    fn a_method_that_only_reads_asks_for_no_request_id() {
        let set = FileDescriptorSet::decode(solmu_proto::DESCRIPTOR_SET).unwrap();
        let messages: Vec<_> = set
            .file
            .iter()
            .flat_map(|file| &file.message_type)
            .collect();
        for method in set
            .file
            .iter()
            .flat_map(|it| &it.service)
            .flat_map(|it| &it.method)
        {
            if !READS.iter().any(|verb| method.name().starts_with(verb)) {
                continue;
            }
            let request = format!("{}Request", method.name());
            let changes = messages.iter().any(|message| {
                message.name() == request
                    && message.field.iter().any(|it| it.name() == "request_id")
            });
            assert!(!changes, "{} reads by its name", method.name());
        }
    }
}
