//! The parts of a mail: text, HTML with its images, files.

use bytes::Bytes;
use lettre::message::{
    Attachment as FilePart, Message, MessageBuilder, MultiPart, SinglePart, header::ContentType,
};
use solmu_domain::{ids::MessageId, signed::base32};
use solmu_proto::types::v1::Attachment;
use solmu_text::clean;

use super::headers::one_line;

/// What is read, in both forms.
#[derive(Debug, Clone, Default)]
pub(super) struct Readable {
    pub(super) text: String,
    /// Empty if there is none.
    pub(super) html: String,
}

/// Puts the parts together. A boundary must not depend on chance: derived from the id it cannot stand in the text by
/// accident, and the same message makes the same bytes.
pub(super) fn body(
    builder: MessageBuilder,
    readable: Readable,
    id: MessageId,
    files: Vec<(Attachment, Bytes)>,
) -> Result<Message, lettre::error::Error> {
    let Readable { text, html } = readable;
    let has_html = !html.is_empty();
    let boundary = |level: &str| format!("=_{level}_{}", base32(id.as_uuid().as_bytes()));
    // A bare carriage return or a NUL makes a relay refuse the mail, or change it and with it the signature.
    let text = SinglePart::plain(clean(&text).into_owned());
    if files.is_empty() && !has_html {
        return builder.singlepart(text);
    }
    let alternative = has_html.then(|| {
        let html = SinglePart::html(clean(&html).into_owned());
        MultiPart::alternative()
            .boundary(boundary("a"))
            .singlepart(text.clone())
            .singlepart(html)
    });
    let (inline, attached): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(file, _)| file.inline && !file.content_id.is_empty() && has_html);
    let readable = match alternative {
        Some(alternative) if inline.is_empty() => Part::Multi(alternative),
        Some(alternative) => {
            let related = MultiPart::related()
                .boundary(boundary("r"))
                .multipart(alternative);
            Part::Multi(
                inline
                    .into_iter()
                    .fold(related, |related, file| related.singlepart(file_part(file))),
            )
        }
        None => Part::Single(text),
    };
    if attached.is_empty() {
        return match readable {
            Part::Multi(multi) => builder.multipart(multi),
            Part::Single(single) => builder.singlepart(single),
        };
    }
    let mixed = MultiPart::mixed().boundary(boundary("m"));
    let mixed = match readable {
        Part::Multi(multi) => mixed.multipart(multi),
        Part::Single(single) => mixed.singlepart(single),
    };
    builder.multipart(
        attached
            .into_iter()
            .fold(mixed, |mixed, file| mixed.singlepart(file_part(file))),
    )
}

enum Part {
    Multi(MultiPart),
    Single(SinglePart),
}

fn file_part((file, bytes): (Attachment, Bytes)) -> SinglePart {
    let kind = ContentType::parse(&file.content_type).unwrap_or_else(|_| octets());
    let name = one_line(&file.filename);
    let id: String = file
        .content_id
        .chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>'))
        .collect();
    let part = match (file.inline && !id.is_empty(), name.is_empty()) {
        (true, true) => FilePart::new_inline(id),
        (true, false) => FilePart::new_inline_with_name(id, name),
        (false, true) => FilePart::new("attachment".to_owned()),
        (false, false) => FilePart::new(name),
    };
    part.body(bytes.to_vec(), kind)
}

fn octets() -> ContentType {
    ContentType::parse("application/octet-stream").expect("the name is well formed")
}
