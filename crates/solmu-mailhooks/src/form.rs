//! Forms as mail providers post them: `multipart/form-data` (RFC 7578) and `application/x-www-form-urlencoded`.
//!
//! Values stay bytes: SendGrid posts each field in the charset of the mail that it came from.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use multer::{Constraints, Multipart, SizeLimit};
use percent_encoding::percent_decode;
use sha2::{Digest as _, Sha256};

/// Fields of a form at most: a mail with more attachments than this is over the parser's limit on parts anyway.
pub(crate) const MAX_FIELDS: usize = 2_000;

/// A field of a form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FormField {
    pub(crate) name: String,
    /// Of an uploaded file.
    pub(crate) filename: Option<String>,
    /// Of an uploaded file, as sent.
    pub(crate) content_type: Option<String>,
    pub(crate) value: Bytes,
}

/// The fields of a form in their order; names may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(pub(super) Vec<FormField>);

/// A body that is no form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("the content type is no form")]
    NoForm,
    #[error("the form has more than {MAX_FIELDS} fields")]
    TooMany,
    #[error("the form cannot be read")]
    Broken(#[source] multer::Error),
}

impl Form {
    /// Reads a form by its content type.
    pub(crate) async fn read(content_type: &str, body: &Bytes) -> Result<Self, FormError> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return urlencoded(body);
        }
        let boundary = multer::parse_boundary(content_type).map_err(|_| FormError::NoForm)?;
        multipart(boundary, body.clone()).await
    }

    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&FormField> {
        self.0.iter().find(|field| field.name == name)
    }

    /// The first value of that name, as bytes.
    pub(crate) fn bytes(&self, name: &str) -> Option<&Bytes> {
        self.field(name).map(|field| &field.value)
    }

    /// The first value of that name; what is no UTF-8 is replaced.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The first value of that name as JSON.
    pub(crate) fn json(&self, name: &str) -> Option<serde_json::Value> {
        solmu_text::json::read(self.bytes(name)?)
    }

    /// SHA-256 over all fields: the same for a repeat, whose boundary may be another.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let none = String::new();
        for field in &self.0 {
            let words = [
                field.name.as_bytes(),
                field.filename.as_ref().unwrap_or(&none).as_bytes(),
                &field.value,
            ];
            for word in words {
                digest.update((word.len() as u64).to_be_bytes());
                digest.update(word);
            }
        }
        digest.finalize().into()
    }
}

async fn multipart(boundary: String, body: Bytes) -> Result<Form, FormError> {
    // The body is whole and within its limit already.
    let limits = SizeLimit::new().whole_stream(u64::MAX).per_field(u64::MAX);
    let once = stream::once(async { Ok::<_, Infallible>(body) });
    let constraints = Constraints::new().size_limit(limits);
    let mut reader = Multipart::with_constraints(once, boundary, constraints);
    let mut form = Form::default();
    while let Some(field) = reader.next_field().await.map_err(FormError::Broken)? {
        if form.0.len() >= MAX_FIELDS {
            return Err(FormError::TooMany);
        }
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        let value = field.bytes().await.map_err(FormError::Broken)?;
        form.0.push(FormField {
            name,
            filename,
            content_type,
            value,
        });
    }
    Ok(form)
}

fn urlencoded(body: &[u8]) -> Result<Form, FormError> {
    let mut form = Form::default();
    for pair in body
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
    {
        if form.0.len() >= MAX_FIELDS {
            return Err(FormError::TooMany);
        }
        let equals = pair
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(pair.len());
        let name = decoded(&pair[..equals]);
        let value = decoded(pair.get(equals + 1..).unwrap_or_default());
        form.0.push(FormField {
            name: String::from_utf8_lossy(&name).into_owned(),
            value: value.into(),
            ..FormField::default()
        });
    }
    Ok(form)
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_forms_keep_bytes_names_and_order() {
        let body = Bytes::from_static(b"a=1+2&b=%E4%2b&a=&empty&%C3%A4=x");
        let form = Form::read("application/x-www-form-urlencoded; charset=utf-8", &body)
            .await
            .unwrap();
        assert_eq!(form.text("a").as_deref(), Some("1 2"));
        assert_eq!(form.bytes("b").unwrap().as_ref(), b"\xe4+");
        assert_eq!(form.text("empty").as_deref(), Some(""));
        assert_eq!(form.text("ä").as_deref(), Some("x"));
        assert_eq!(form.0.len(), 5);

        let multipart = |boundary: &str| {
            let text = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\ny\r\n--{boundary}\r\n\
                 Content-Disposition: form-data; name=\"f\"; filename=\"ä.txt\"\r\nContent-Type: text/plain\r\n\r\n\r\n\
                 --{boundary}--\r\n"
            );
            Bytes::from(text)
        };
        let (one, two) = (multipart("xYz"), multipart("other"));
        let first = Form::read("multipart/form-data; boundary=xYz", &one)
            .await
            .unwrap();
        assert_eq!(first.text("a").as_deref(), Some("x\r\ny"));
        let file = first.field("f").unwrap();
        assert_eq!(file.filename.as_deref(), Some("ä.txt"));
        assert_eq!(file.content_type.as_deref(), Some("text/plain"));
        assert!(file.value.is_empty());
        let second = Form::read("multipart/form-data; boundary=\"other\"", &two)
            .await
            .unwrap();
        assert_eq!(first.digest(), second.digest());
    }

    #[tokio::test]
    async fn what_is_no_form_is_an_error() {
        let empty = Bytes::new();
        let kinds = ["", "text/plain", "multipart/form-data"];
        for kind in kinds {
            let outcome = Form::read(kind, &empty).await;
            assert!(matches!(outcome, Err(FormError::NoForm)), "{kind}");
        }
        let cut = Bytes::from_static(b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx");
        let outcome = Form::read("multipart/form-data; boundary=b", &cut).await;
        assert!(matches!(outcome, Err(FormError::Broken(_))));
        let many = Bytes::from("a&".repeat(MAX_FIELDS + 1));
        let outcome = Form::read("application/x-www-form-urlencoded", &many).await;
        assert!(matches!(outcome, Err(FormError::TooMany)));
    }
}
