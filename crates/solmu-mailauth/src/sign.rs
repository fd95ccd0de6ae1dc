//! Our own DKIM signature (RFC 6376) on what we send.
//!
//! Relaxed canonicalisation for header and body, so that relays may fold and trim. From is signed once more than it is
//! there: nobody can put a second one on top (RFC 6376 section 8.15). Other fields are signed only where they are
//! there, so that a list may add its own.

#[cfg(test)]
mod tests;

use std::{fmt, io, path::PathBuf};

use jiff::Timestamp;
use mail_auth::{
    AuthenticatedMessage,
    common::{
        crypto::{DkimKey, Ed25519Key, RsaKey, Sha256, SigningKey as _},
        headers::{HeaderStream, Writable, Writer},
        to_a_label,
    },
    dkim::{Canonicalization, Signature, canonicalize::CanonicalHeaders},
};
use webpki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::config::{Algorithm, DkimConfig};

/// Fields that are signed where they are there (RFC 6376 section 5.4.1, RFC 8058 section 4).
const SIGNED: [&str; 14] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
];

/// A key that cannot sign, or a mail that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Without a domain and a selector nobody finds the public key.
    #[error("a DKIM key needs 'domain' and 'selector' of letters, digits, '-', '_' and '.'")]
    Name,
    /// The file is not there or must not be read.
    #[error("the DKIM key file '{path}' cannot be read")]
    File {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no private key in the file.
    #[error("'{path}' holds no private key in PEM")]
    Pem {
        /// As configured.
        path: PathBuf,
        /// Why not.
        #[source]
        source: webpki_types::pem::Error,
    },
    /// The key is of another kind or too short.
    #[error("'{path}' holds no key for {algorithm}")]
    Key {
        /// As configured.
        path: PathBuf,
        /// As configured.
        algorithm: &'static str,
        /// Why not.
        #[source]
        source: mail_auth::Error,
    },
    /// The mail was not signed.
    #[error("the mail could not be signed")]
    Sign(#[source] mail_auth::Error),
}

/// Keys of our domains.
#[derive(Debug, Default)]
pub struct Signer(Vec<Key>);

struct Key {
    domain: String,
    selector: String,
    private: DkimKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the keys. The first one that cannot be used is the error.
    pub fn new(keys: &[DkimConfig]) -> Result<Self, SignError> {
        keys.iter()
            .map(read_key)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether there is nothing to sign with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a signature of each key of From's domain on top of `mail` (CRLF lines); says how many. The longest
    /// configured domain that From's domain is, or is below, signs; nobody signs for two authors.
    pub fn sign(&self, mail: &mut Vec<u8>, now: Timestamp) -> Result<usize, SignError> {
        let Some(read) = AuthenticatedMessage::parse(mail) else {
            return Ok(0);
        };
        let [from] = read.from.as_slice() else {
            return Ok(0);
        };
        let from_domain = to_a_label(from.rsplit('@').next().unwrap_or_default());
        let fits = |key: &&Key| is_below(&from_domain, &key.domain);
        let longest = self.0.iter().filter(fits).map(|key| key.domain.len()).max();
        let keys = self.0.iter().filter(fits);
        let mut signatures = Vec::new();
        let mut count = 0;
        for key in keys.filter(|key| Some(key.domain.len()) == longest) {
            key.signature(&read, now)?.write(&mut signatures, true);
            count += 1;
        }
        mail.splice(0..0, signatures);
        Ok(count)
    }
}

fn is_below(domain: &str, parent: &str) -> bool {
    domain
        .strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn read_key(config: &DkimConfig) -> Result<Key, SignError> {
    let legal = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !legal(&config.domain) || !legal(&config.selector) {
        return Err(SignError::Name);
    }
    let path = || config.key_file.clone();
    let pem = std::fs::read(&config.key_file).map_err(|source| SignError::File {
        path: path(),
        source,
    })?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|source| SignError::Pem {
        path: path(),
        source,
    })?;
    let (algorithm, key) = match config.algorithm {
        Algorithm::RsaSha256 => (
            "rsa-sha256",
            RsaKey::<Sha256>::from_key_der(der).map(DkimKey::from),
        ),
        Algorithm::Ed25519Sha256 => (
            "ed25519-sha256",
            // The usual tools write keys of version 1, without their public half.
            Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_der()).map(DkimKey::from),
        ),
    };
    let key = key.map_err(|source| SignError::Key {
        path: path(),
        algorithm,
        source,
    })?;
    Ok(Key {
        domain: config.domain.to_ascii_lowercase(),
        selector: config.selector.clone(),
        private: key,
    })
}

impl Key {
    /// mail-auth's own way takes the time from the system.
    fn signature(
        &self,
        mail: &AuthenticatedMessage<'_>,
        now: Timestamp,
    ) -> Result<Signature, SignError> {
        let mut signature = Signature {
            v: 1,
            a: self.private.algorithm(),
            d: self.domain.clone(),
            s: self.selector.clone(),
            h: fields_to_sign(mail),
            t: u64::try_from(now.as_second()).unwrap_or(0),
            ch: Canonicalization::Relaxed,
            cb: Canonicalization::Relaxed,
            ..Signature::default()
        };
        let (_, headers, names, body) = signature.canonicalize(Fields::of(mail));
        signature.bh = self.private.hash(body).as_ref().to_vec();
        signature.h = names;
        let signed = Signed {
            headers,
            signature: &signature,
        };
        signature.b = self.private.sign(signed).map_err(SignError::Sign)?;
        Ok(signature)
    }
}

/// Those of [`SIGNED`] that are there, and From twice: a name without a field asserts that there is none.
fn fields_to_sign(mail: &AuthenticatedMessage<'_>) -> Vec<String> {
    SIGNED
        .iter()
        .filter(|name| {
            mail.headers
                .iter()
                .any(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
        })
        .chain(&SIGNED[..1])
        .map(|name| (*name).to_owned())
        .collect()
}

/// Header and body as mail-auth wants to read them.
struct Fields<'x> {
    fields: std::slice::Iter<'x, (&'x [u8], &'x [u8])>,
    body: &'x [u8],
}

impl<'x> Fields<'x> {
    fn of(mail: &'x AuthenticatedMessage<'x>) -> Self {
        Self {
            fields: mail.headers.iter(),
            body: mail.raw_body(),
        }
    }
}

impl<'x> HeaderStream<'x> for Fields<'x> {
    fn next_header(&mut self) -> Option<(&'x [u8], &'x [u8])> {
        self.fields.next().copied()
    }

    fn body(&mut self) -> &'x [u8] {
        self.body
    }
}

struct Signed<'a> {
    headers: CanonicalHeaders<'a>,
    signature: &'a Signature,
}

impl Writable for Signed<'_> {
    fn write(self, writer: &mut impl Writer) {
        self.headers.write(writer);
        self.signature.write(writer, false);
    }
}
