//! Resolves a sender to one contact.
//!
//! Matching is exact on the normalised identity; fuzzy matching was rejected: a wrong merge shows one customer's mail
//! to another. A phone number that nobody attested joins a contact only when the names agree, because numbers are
//! typed wrongly, shared and given to new people; a mailbox of a role (info@, support@) joins only who has the same name,
//! because several people write from it; an address that was only claimed leads agents to the contact of that
//! address, and shows the sender nothing.

use std::collections::{BTreeMap, HashMap};

use solmu_domain::contact::Assurance;
use solmu_identity::{Kind, Name, guard};
use solmu_proto::{
    inbound::v1::Sender,
    types::v1::{Identity, IdentityKind},
};
use uuid::Uuid;

use crate::sighting::NewSighting;

/// What an identity is unique by: kind, scope, value.
pub type IdentityKey = (i16, String, String);

/// An identity as it is known.
#[derive(Debug, Clone)]
pub struct Known {
    /// Whose it is.
    pub contact_id: Uuid,
    /// Their name.
    pub contact_name: String,
    /// How far it is certain that it is theirs.
    pub assurance: Assurance,
    /// Mail to it came back for good.
    pub undeliverable: bool,
}

/// Identities that the database has, and those that this batch adds.
#[derive(Debug, Default)]
pub struct Identities {
    /// By what they are unique by.
    pub known: HashMap<IdentityKey, Known>,
    /// Who was seen in this batch: the resolver looks at them afterwards.
    pub(crate) sightings: BTreeMap<Uuid, NewSighting>,
}

/// An identity to be written.
#[derive(Debug, Clone)]
pub struct IdentityWrite {
    pub(crate) key: IdentityKey,
    pub(crate) raw: String,
    pub(crate) contact_id: Uuid,
    pub(crate) assurance: Assurance,
    pub(crate) attested_by: String,
    /// False when the row exists: better evidence, or a new owner.
    pub(crate) new: bool,
}

/// The contact of a sender.
#[derive(Debug)]
pub struct Resolved {
    /// Who it is.
    pub contact_id: Uuid,
    /// Nobody knew them: the contact has to be written.
    pub is_new: bool,
    /// The contact proved this identity before, and the sender did not.
    pub less_proven: bool,
    /// What has to be written of the identities.
    pub writes: Vec<IdentityWrite>,
    /// What the sender said of themselves, as it is kept; `None` if that is nothing to go by.
    pub sighting: Option<Uuid>,
}

/// What begins the scope of a shared mailbox: the name of who writes from it follows.
const NAMED: &str = "name:";

/// The key of an identity of a sender with this name; `None` for one without a kind or a value. A mailbox that several
/// people write from is an identity of nobody, only together with the name that stands beside it.
pub fn key_of(name: &str, identity: &Identity) -> Option<IdentityKey> {
    if identity.kind() == IdentityKind::Unspecified || identity.value.is_empty() {
        return None;
    }
    let kind = i16::try_from(identity.kind).unwrap_or(0);
    let shared = identity.scope.is_empty()
        && Kind::from_code(kind).is_some_and(|kind| guard::is_role(kind, &identity.value));
    let name = Name::parse(name);
    let scope = if shared && !name.is_empty() {
        format!("{NAMED}{}", name.key())
    } else {
        identity.scope.clone()
    };
    Some((kind, scope, identity.value.clone()))
}

/// The keys of all identities of `sender`.
pub fn keys_of(sender: &Sender) -> impl Iterator<Item = IdentityKey> + '_ {
    let identities = sender.identities.iter();
    identities.filter_map(|identity| key_of(&sender.display_name, identity))
}

/// Whether an address in this scope is one of the contact: not one whose checks failed.
pub(crate) fn is_own(scope: &str) -> bool {
    scope.is_empty() || scope.starts_with(NAMED)
}

impl Identities {
    /// Finds the contact of `sender`, or makes one with the id `fresh`, and notes what has to be written.
    pub fn resolve(&mut self, sender: &Sender, fresh: Uuid) -> Resolved {
        let mut given: Vec<(IdentityKey, &Identity)> = sender
            .identities
            .iter()
            .filter_map(|identity| Some((key_of(&sender.display_name, identity)?, identity)))
            .collect();
        // The strongest evidence decides.
        given.sort_by_key(|(_, identity)| std::cmp::Reverse(assurance_of(identity)));
        let found = given.iter().find_map(|(key, identity)| {
            let known = self.known.get(key)?;
            may_join(key, known, assurance_of(identity), &sender.display_name)
                .then_some(known.clone())
        });
        let is_new = found.is_none();
        let less_proven = found.is_some()
            && given.iter().all(|(key, identity)| {
                let known = self.known.get(key);
                assurance_of(identity) < Assurance::Proven
                    && known.is_some_and(|known| known.assurance == Assurance::Proven)
            });
        let contact_id = found.as_ref().map_or(fresh, |known| known.contact_id);
        let contact_name =
            found.map_or_else(|| sender.display_name.clone(), |known| known.contact_name);
        let mut writes = Vec::new();
        for (key, identity) in given {
            let assurance = assurance_of(identity);
            let write = match self.known.get(&key) {
                None => true,
                // Better evidence for the same contact, or proof against a mere claim of another.
                Some(known) => assurance > known.assurance,
            };
            if !write {
                continue;
            }
            let known = Known {
                contact_id,
                contact_name: contact_name.clone(),
                assurance,
                undeliverable: self
                    .known
                    .get(&key)
                    .is_some_and(|known| known.undeliverable),
            };
            let new = self.known.insert(key.clone(), known).is_none();
            writes.push(IdentityWrite {
                key,
                raw: if identity.raw.is_empty() {
                    identity.value.clone()
                } else {
                    identity.raw.clone()
                },
                contact_id,
                assurance,
                attested_by: identity.attested_by.clone(),
                new,
            });
        }
        let sighting = self.see(sender, contact_id);
        Resolved {
            contact_id,
            is_new,
            less_proven,
            writes,
            sighting,
        }
    }
}

impl Identities {
    /// Notes what the sender said of themselves; says as what. An address whose checks failed is set apart by its scope
    /// and is no evidence of anything.
    fn see(&mut self, sender: &Sender, contact_id: Uuid) -> Option<Uuid> {
        let seen = NewSighting::of(&without_failed(sender), contact_id)?;
        let id = seen.id;
        self.sightings.insert(id, seen);
        Some(id)
    }
}

/// A sender without what is no evidence.
pub(crate) fn without_failed(sender: &Sender) -> Sender {
    let mut seen = sender.clone();
    seen.identities
        .retain(|it| it.kind() != IdentityKind::Email || it.scope.is_empty());
    seen
}

fn assurance_of(identity: &Identity) -> Assurance {
    Assurance::from_code(i16::try_from(identity.assurance).unwrap_or(0))
}

/// Whether an identity leads to the contact that has it.
fn may_join(key: &IdentityKey, known: &Known, given: Assurance, name: &str) -> bool {
    let both_proven = given == Assurance::Proven && known.assurance == Assurance::Proven;
    if both_proven {
        return true;
    }
    // Who has nothing to give types what many type.
    let placeholder =
        Kind::from_code(key.0).is_some_and(|kind| guard::is_placeholder(kind, &key.2));
    let phone = key.0 == Kind::Phone.code();
    let agree = || Name::parse(&known.contact_name).agrees(&Name::parse(name));
    !placeholder && (!phone || agree())
}

#[cfg(test)]
mod tests {
    use super::*;
    use solmu_proto::types::v1::Assurance as Level;

    fn identity(kind: IdentityKind, value: &str, assurance: Level) -> Identity {
        Identity {
            kind: kind.into(),
            value: value.to_owned(),
            assurance: assurance.into(),
            ..Identity::default()
        }
    }

    fn sender(name: &str, identities: Vec<Identity>) -> Sender {
        Sender {
            display_name: name.to_owned(),
            identities,
        }
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn same_address_same_contact() {
        let mut identities = Identities::default();
        let aino = sender(
            "Aino Virtanen",
            vec![identity(IdentityKind::Email, "a@x.fi", Level::Claimed)],
        );
        let first = identities.resolve(&aino, id(1));
        assert!(first.is_new && first.writes.len() == 1);
        let second = identities.resolve(&aino, id(2));
        assert_eq!(
            (second.contact_id, second.is_new, second.writes.len()),
            (id(1), false, 0)
        );
    }

    #[test]
    fn three_channels_one_contact_when_names_agree() {
        let mut identities = Identities::default();
        identities.resolve(
            &sender(
                "Aino Virtanen",
                vec![identity(IdentityKind::Email, "a@x.fi", Level::Claimed)],
            ),
            id(1),
        );
        let form = vec![
            identity(IdentityKind::Email, "a@x.fi", Level::Claimed),
            identity(IdentityKind::Phone, "+358401", Level::Claimed),
        ];
        assert_eq!(
            identities
                .resolve(&sender("Virtanen Aino", form), id(2))
                .contact_id,
            id(1)
        );
        let whatsapp = vec![
            identity(IdentityKind::Whatsapp, "358401", Level::Proven),
            identity(IdentityKind::Phone, "+358401", Level::Proven),
        ];
        assert_eq!(
            identities
                .resolve(&sender("aino virtanen", whatsapp), id(3))
                .contact_id,
            id(1)
        );
    }

    #[test]
    fn a_typed_number_does_not_lead_to_a_stranger() {
        let mut identities = Identities::default();
        let typed = vec![identity(IdentityKind::Phone, "+358401", Level::Claimed)];
        identities.resolve(&sender("Matti Meikäläinen", typed), id(1));
        let proven = vec![identity(IdentityKind::Phone, "+358401", Level::Proven)];
        let resolved = identities.resolve(&sender("Aino Virtanen", proven), id(2));
        assert_eq!(resolved.contact_id, id(2));
        assert!(!resolved.writes[0].new, "the number goes to who proved it");
    }

    #[test]
    fn a_shared_mailbox_is_somebody_only_with_a_name() {
        let mut identities = Identities::default();
        let mut from = |name: &str, fresh| {
            let shared = identity(IdentityKind::Email, "info@x.fi", Level::Proven);
            identities
                .resolve(&sender(name, vec![shared]), id(fresh))
                .contact_id
        };
        assert_eq!(from("Aino Virtanen", 1), id(1));
        assert_eq!(from("Matti Laine", 2), id(2));
        assert_eq!(from("VIRTANEN, Aino", 3), id(1));
        assert_eq!(from("", 4), id(4), "the mailbox itself");
        assert_eq!(from("info@x.fi", 5), id(4));
    }

    #[test]
    fn a_sender_without_identities_is_a_contact_of_their_own() {
        let mut identities = Identities::default();
        assert!(identities.resolve(&sender("", vec![]), id(1)).is_new);
    }
}
