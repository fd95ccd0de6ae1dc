//! Resolves a sender to one contact.
//!
//! Matching is exact on the normalised identity; fuzzy matching was rejected: a wrong merge shows one customer's mail
//! to another. A phone number that nobody attested joins a contact only when the names agree, because numbers are
//! typed wrongly, shared and given to new people; an address that was only claimed leads agents to the contact of that
//! address, and shows the sender nothing.

use std::collections::{BTreeMap, HashMap};

use solmu_domain::contact::Assurance;
use solmu_identity::{Kind, Name, guard};
use solmu_proto::{
    inbound::v1::Sender,
    types::v1::{Identity, IdentityKind},
};
use uuid::Uuid;

use crate::contacts::sighting::NewSighting;

/// What an identity is unique by: kind, scope, value.
pub(crate) type IdentityKey = (i16, String, String);

/// An identity as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) contact_id: Uuid,
    pub(crate) contact_name: String,
    pub(crate) assurance: Assurance,
    /// Mail to it came back for good.
    pub(crate) undeliverable: bool,
}

/// Identities that the database has, and those that this batch adds.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    pub(crate) known: HashMap<IdentityKey, Known>,
    /// Who was seen in this batch: the resolver looks at them afterwards.
    pub(crate) sightings: BTreeMap<Uuid, NewSighting>,
}

/// An identity to be written.
#[derive(Debug, Clone)]
pub(crate) struct IdentityWrite {
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
pub(crate) struct Resolved {
    pub(crate) contact_id: Uuid,
    pub(crate) is_new: bool,
    /// The contact proved this identity before, and the sender did not.
    pub(crate) less_proven: bool,
    pub(crate) writes: Vec<IdentityWrite>,
}

/// The key of an identity; `None` for one without a kind or a value.
pub(crate) fn key_of(identity: &Identity) -> Option<IdentityKey> {
    let usable = identity.kind() != IdentityKind::Unspecified && !identity.value.is_empty();
    usable.then(|| {
        (
            i16::try_from(identity.kind).unwrap_or(0),
            identity.scope.clone(),
            identity.value.clone(),
        )
    })
}

impl Identities {
    /// Finds the contact of `sender`, or makes one with the id `fresh`, and notes what has to be written.
    pub(crate) fn resolve(&mut self, sender: &Sender, fresh: Uuid) -> Resolved {
        let mut given: Vec<(IdentityKey, &Identity)> = sender
            .identities
            .iter()
            .filter_map(|identity| Some((key_of(identity)?, identity)))
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
        self.see(sender, contact_id);
        Resolved {
            contact_id,
            is_new,
            less_proven,
            writes,
        }
    }
}

impl Identities {
    /// Notes what the sender said of themselves. An address whose checks failed is set apart by its scope and is no
    /// evidence of anything.
    fn see(&mut self, sender: &Sender, contact_id: Uuid) {
        let mut seen = sender.clone();
        seen.identities
            .retain(|it| it.kind() != IdentityKind::Email || it.scope.is_empty());
        let seen = NewSighting::of(&seen, contact_id);
        self.sightings.extend(seen.map(|seen| (seen.id, seen)));
    }
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
    fn a_sender_without_identities_is_a_contact_of_their_own() {
        let mut identities = Identities::default();
        assert!(identities.resolve(&sender("", vec![]), id(1)).is_new);
    }
}
