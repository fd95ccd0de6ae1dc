//! Whom a portal has signed in.

use sha2::{Digest as _, Sha256};
use solmu_identity::{Kind, Region, normalise};
use solmu_proto::{
    inbound::v1::Sender,
    requester::v1::Requester,
    types::v1::{Assurance, Identity, IdentityKind},
};
use solmu_runtime::{ApiError, access::Caller, api_error::Violation};
use uuid::Uuid;

/// Kinds of identities that a portal can prove. What a platform or a session gives is proven by them alone.
const KINDS: [IdentityKind; 4] = [
    IdentityKind::Email,
    IdentityKind::Phone,
    IdentityKind::External,
    IdentityKind::CustomerNumber,
];
/// Longest value, in bytes.
const MAX_VALUE: usize = 512;
/// Longest name, in bytes.
const MAX_NAME: usize = 200;
/// Longest word for how the portal knows.
const MAX_METHOD: usize = 64;
/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// A requester, checked.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// As a message of theirs has it: proven by the portal, and where answers go.
    pub(crate) sender: Sender,
    /// What is proven, normalised.
    pub(crate) value: String,
    /// The token of the portal.
    pub(crate) token: String,
    /// How the portal knows.
    pub(crate) method: String,
    /// Made of kind and value: for what is counted and kept of them without saying who they are.
    pub(crate) key: Uuid,
}

impl Who {
    /// Reads a requester. INVALID_ARGUMENT names everything that is wrong with it.
    pub(crate) fn read(requester: Option<&Requester>, caller: &Caller) -> Result<Self, ApiError> {
        let missing = || ApiError::invalid("requester", "say who is signed in");
        let requester = requester.ok_or_else(missing)?;
        let mut wrong = Vec::new();
        let identity = proven(requester, &mut wrong);
        let method = requester.method.trim();
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if method.is_empty() || method.len() > MAX_METHOD || !method.chars().all(known) {
            let signs = "letters, digits, '-', '_' and '.'";
            let why = format!("say how the portal knows, e.g. oidc: 1 to {MAX_METHOD} {signs}");
            wrong.push(Violation::new("requester.method", why));
        }
        let name = requester.display_name.trim();
        if name.len() > MAX_NAME || name.contains(char::is_control) {
            let why = format!("at most {MAX_NAME} bytes on one line");
            wrong.push(Violation::new("requester.display_name", why));
        }
        let email = claimed(requester, &mut wrong);
        let Some(mut identity) = identity.filter(|_| wrong.is_empty()) else {
            return Err(ApiError::InvalidArgument { violations: wrong });
        };
        identity.attested_by = format!("portal:{}:{method}", caller.token_id);
        let (value, kind) = (identity.value.clone(), identity.kind);
        Ok(Self {
            sender: Sender {
                display_name: name.to_owned(),
                identities: [identity].into_iter().chain(email).collect(),
            },
            key: stable(&[&kind.to_string(), &value]),
            value,
            token: caller.token_id.clone(),
            method: method.to_owned(),
        })
    }

    /// Whether an answer by e-mail has somewhere to go.
    pub(crate) fn has_email(&self) -> bool {
        let mut identities = self.sender.identities.iter();
        identities.any(|it| it.kind() == IdentityKind::Email)
    }

    /// The id of what they ask under `request_id`: the same each time that it comes, and nobody else's.
    pub(crate) fn request(&self, request_id: &str) -> Result<Uuid, ApiError> {
        if request_id.is_empty()
            || request_id.len() > MAX_REQUEST_ID
            || request_id.contains(char::is_control)
        {
            let wanted = format!("1 to {MAX_REQUEST_ID} printable characters, e.g. a UUID");
            return Err(ApiError::invalid("request_id", wanted));
        }
        Ok(stable(&[&self.token, &self.key.to_string(), request_id]))
    }
}

/// What is remembered of a request under its id.
pub(crate) fn digest(request: &impl prost::Message) -> Vec<u8> {
    Sha256::digest(request.encode_to_vec()).to_vec()
}

/// A UUIDv5 over the parts, each prefixed with its length.
fn stable(parts: &[&str]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &name)
}

fn proven(requester: &Requester, wrong: &mut Vec<Violation>) -> Option<Identity> {
    let mut refuse = |field: &str, why: String| wrong.push(Violation::new(field, why));
    let code = i16::try_from(requester.kind).unwrap_or(0);
    let Some(kind) = Kind::from_code(code).filter(|_| KINDS.contains(&requester.kind())) else {
        let why = "a portal proves EMAIL, PHONE, EXTERNAL or CUSTOMER_NUMBER";
        refuse("requester.kind", why.to_owned());
        return None;
    };
    let raw = requester.value.trim();
    if raw.len() > MAX_VALUE {
        refuse("requester.value", format!("longer than {MAX_VALUE} bytes"));
        return None;
    }
    if kind == Kind::Phone && !raw.starts_with('+') {
        let why = "a number needs its country code, with the plus";
        refuse("requester.value", why.to_owned());
        return None;
    }
    match normalise(kind, raw, Region::default()) {
        Ok(value) => Some(identity(kind, value.canonical, raw, Assurance::Proven)),
        Err(why) => {
            refuse("requester.value", why.to_string());
            None
        }
    }
}

/// Where answers go, if they are proven by something else than an address.
fn claimed(requester: &Requester, wrong: &mut Vec<Violation>) -> Option<Identity> {
    let raw = requester.email.trim();
    if raw.is_empty() || requester.kind() == IdentityKind::Email {
        return None;
    }
    let read = Some(raw).filter(|it| it.len() <= MAX_VALUE);
    let read = read.and_then(|it| normalise(Kind::Email, it, Region::default()).ok());
    let Some(value) = read else {
        wrong.push(Violation::new(
            "requester.email",
            "not an e-mail address: expected 'local@domain'",
        ));
        return None;
    };
    let mut claim = identity(Kind::Email, value.canonical, raw, Assurance::Claimed);
    "portal-profile".clone_into(&mut claim.attested_by);
    Some(claim)
}

fn identity(kind: Kind, value: String, raw: &str, assurance: Assurance) -> Identity {
    Identity {
        kind: i32::from(kind.code()),
        value,
        raw: raw.to_owned(),
        assurance: assurance.into(),
        ..Identity::default()
    }
}

#[cfg(test)]
mod tests {
    use solmu_runtime::access::Role;

    use super::*;

    fn requester(kind: IdentityKind, value: &str) -> Requester {
        Requester {
            kind: kind.into(),
            value: value.to_owned(),
            method: "oidc".to_owned(),
            ..Requester::default()
        }
    }

    fn read(requester: &Requester) -> Result<Who, ApiError> {
        let caller = Caller::new("portal-a", Role::Service, None);
        Who::read(Some(requester), &caller)
    }

    #[test]
    fn values_are_normalised_and_attested() {
        let who = read(&requester(IdentityKind::Email, " Aino@Example.COM ")).unwrap();
        assert_eq!(who.value, "aino@example.com");
        let identity = &who.sender.identities[0];
        assert_eq!(identity.attested_by, "portal:portal-a:oidc");
        assert_eq!(identity.assurance(), Assurance::Proven);
        let number = read(&requester(IdentityKind::CustomerNumber, "K-10 42")).unwrap();
        assert_eq!(number.value, "k1042");
        let again = read(&requester(IdentityKind::Email, "aino@example.com")).unwrap();
        assert_eq!(who.key, again.key);
        assert_eq!(who.request("1").unwrap(), again.request("1").unwrap());
        assert_ne!(who.request("1").unwrap(), number.request("1").unwrap());
        assert_ne!(who.request("1").unwrap(), who.request("2").unwrap());
    }

    #[test]
    fn an_address_beside_something_else_is_a_claim() {
        let mut external = requester(IdentityKind::External, "c-1");
        assert!(!read(&external).unwrap().has_email());
        external.email = "a@c.example".to_owned();
        let who = read(&external).unwrap();
        assert!(who.has_email());
        assert_eq!(who.sender.identities[1].assurance(), Assurance::Claimed);
    }

    #[test]
    fn what_no_portal_proves_is_refused() {
        let long = "9".repeat(MAX_VALUE + 1);
        let mut unsaid = requester(IdentityKind::Email, "a@c.example");
        unsaid.method.clear();
        let mut odd = requester(IdentityKind::External, "c-1");
        odd.email = "nobody".to_owned();
        for bad in [
            requester(IdentityKind::Unspecified, "a@c.example"),
            requester(IdentityKind::Telegram, "77"),
            requester(IdentityKind::ChatSession, "s"),
            requester(IdentityKind::Cookie, "c"),
            requester(IdentityKind::Email, "nobody"),
            requester(IdentityKind::Phone, "0401234567"),
            requester(IdentityKind::External, ""),
            requester(IdentityKind::External, &long),
            unsaid,
            odd,
        ] {
            let refused = matches!(read(&bad), Err(ApiError::InvalidArgument { .. }));
            assert!(refused, "{} was taken", bad.kind);
        }
        let who = read(&requester(IdentityKind::External, "c-1")).unwrap();
        for id in ["", "a\nb", &"9".repeat(MAX_REQUEST_ID + 1)] {
            assert!(who.request(id).is_err());
        }
    }
}
