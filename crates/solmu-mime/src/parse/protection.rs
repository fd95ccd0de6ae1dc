//! Tells signed and encrypted mail. Signatures are not checked: that needs keys, and the parts are kept for who has them.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::header::Block;
use crate::mail::Protection;

/// Bytes of a CMS object in which its content type stands (RFC 5652 section 3).
const CMS_HEAD: usize = 64;
/// Object identifiers of CMS content, 1.2.840.113549.1.7 (RFC 5652), without their last number.
const CMS_TYPES: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
/// The beginning of each kind of OpenPGP armour.
static ARMOUR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("-----BEGIN PGP "));
/// Last number of signed data.
const CMS_SIGNED: u8 = 2;

/// What a container of this kind and protocol is (RFC 1847).
pub(super) fn of_container(kind: &str, protocol: &str) -> Protection {
    match kind {
        "signed" if protocol.contains("pgp") => Protection::PgpSigned,
        "signed" if protocol.contains("pkcs7") => Protection::SmimeSigned,
        "encrypted" if protocol.is_empty() || protocol.contains("pgp") => Protection::PgpEncrypted,
        _ => Protection::None,
    }
}

/// What a part is by itself. S/MIME keeps signed and encrypted content in parts of one type (RFC 8551 section 3.2).
pub(super) fn of_part(block: &Block, bytes: &[u8]) -> Protection {
    match block.content_type.as_str() {
        "application/pgp-encrypted" => Protection::PgpEncrypted,
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => smime(&block.smime_type, bytes),
        "application/octet-stream" if block.filename.eq_ignore_ascii_case("smime.p7m") => {
            smime(&block.smime_type, bytes)
        }
        _ => Protection::None,
    }
}

fn smime(declared: &str, bytes: &[u8]) -> Protection {
    match declared {
        "signed-data" => return Protection::SmimeSigned,
        "enveloped-data" | "authenveloped-data" => return Protection::SmimeEncrypted,
        "certs-only" => return Protection::None,
        _ => {}
    }
    let head = &bytes[..bytes.len().min(CMS_HEAD)];
    let is_signed = head
        .windows(CMS_TYPES.len() + 1)
        .any(|window| window.starts_with(&CMS_TYPES) && window[CMS_TYPES.len()] == CMS_SIGNED);
    if is_signed {
        Protection::SmimeSigned
    } else {
        Protection::SmimeEncrypted
    }
}

/// OpenPGP within a text (RFC 9580 section 6.2). Quoted armour belongs to an earlier mail.
pub(super) fn of_text(text: &str) -> Protection {
    let begins = |line: &str| text.starts_with(line) || text.contains(&format!("\n{line}"));
    if ARMOUR.find(text.as_bytes()).is_none() {
        Protection::None
    } else if begins("-----BEGIN PGP MESSAGE-----") {
        Protection::PgpEncrypted
    } else if begins("-----BEGIN PGP SIGNED MESSAGE-----") {
        Protection::PgpSigned
    } else {
        Protection::None
    }
}

/// The one that tells more: encrypted before signed, the outer before the inner.
pub(super) fn stronger(known: Protection, found: Protection) -> Protection {
    if known == Protection::None || (found.is_encrypted() && !known.is_encrypted()) {
        found
    } else {
        known
    }
}
