//! The form of tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use solmu_domain::{rng::Rng, signed::base32};
use subtle::ConstantTimeEq as _;

use super::{Caller, Role, Scopes};
use crate::config::Secret;

/// What begins every token of ours.
pub(super) const PREFIX: &str = "solmu_";
/// Characters of the id: 5 random bytes in base32.
const ID_CHARS: usize = 8;
/// Characters of the secret: 32 random bytes in base64url without padding.
const SECRET_CHARS: usize = 43;

/// What is stored of a secret.
pub(super) type Hash = [u8; 32];

/// A token as a caller presents it.
pub(super) struct Presented<'a> {
    pub(super) id: &'a str,
    pub(super) hash: Hash,
}

impl<'a> Presented<'a> {
    /// Takes a token apart; `None` for what is none.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let rest = token.strip_prefix(PREFIX)?;
        let (id, rest) = rest.split_at_checked(ID_CHARS)?;
        // Not split at the underscore, which is a letter of base64url.
        let secret = rest
            .strip_prefix('_')
            .filter(|secret| secret.len() == SECRET_CHARS)?;
        let legal = id
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        legal.then(|| Self {
            id,
            hash: hash(secret),
        })
    }

    /// Whether the secret is the stored one, in constant time.
    pub(super) fn matches(&self, stored: &[u8]) -> bool {
        self.hash.ct_eq(stored).into()
    }
}

/// A token that was just made. Its secret is here and nowhere else.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whose calls it will mark.
    pub caller: Caller,
    /// The whole token, `solmu_...`, to be shown once.
    pub token: Secret,
    pub(super) hash: Hash,
    pub(super) expire_time: Option<Timestamp>,
}

impl NewToken {
    /// The same token with an end and with less than its role may.
    #[must_use]
    pub(super) fn with_terms(
        mut self,
        expire_time: Option<Timestamp>,
        scopes: Scopes,
        all_teams: bool,
    ) -> Self {
        self.expire_time = expire_time;
        self.caller.scopes = scopes;
        self.caller.all_teams = all_teams;
        self
    }

    /// Draws id and secret.
    pub(super) fn generate(
        role: Role,
        agent_id: Option<solmu_domain::ids::AgentId>,
        rng: &dyn Rng,
    ) -> Self {
        let (mut id, mut secret) = ([0; 5], [0; 32]);
        rng.fill(&mut id);
        rng.fill(&mut secret);
        let (token_id, secret) = (base32(&id), URL_SAFE_NO_PAD.encode(secret));
        Self {
            token: Secret::new(format!("{PREFIX}{token_id}_{secret}")),
            hash: hash(&secret),
            caller: Caller::new(token_id, role, agent_id),
            expire_time: None,
        }
    }
}

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use solmu_domain::rng::SeededRng;

    use super::*;

    #[test]
    fn tokens_have_the_promised_form_and_come_back() {
        let new = NewToken::generate(Role::Admin, None, &SeededRng::new(1));
        let token = new.token.expose();
        assert_eq!(token.len(), 6 + 8 + 1 + 43);
        let presented = Presented::parse(token).unwrap();
        assert_eq!(presented.id, new.caller.token_id);
        assert!(
            presented.matches(&new.hash) && !presented.matches(&[0; 32]) && !presented.matches(&[])
        );
        assert!(!format!("{new:?}").contains(&token[15..]));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = NewToken::generate(Role::Admin, None, &SeededRng::new(1)).token;
        let good = good.expose();
        for bad in [
            "",
            "solmu_",
            &good[..good.len() - 1],
            &format!("{good}x"),
            &good.replace("solmu_", "other_"),
            &good.to_uppercase(),
            "solmu_aaaaaaaä_0000000000000000000000000000000000000000000",
        ] {
            assert!(Presented::parse(bad).is_none(), "{bad}");
        }
    }
}
