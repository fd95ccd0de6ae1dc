//! Values of the own fields of contacts and organisations, as one ticket sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use solmu_conditions::{Fact, value_of};
use uuid::Uuid;

use crate::{Inquiry, InquiryError, watched::Watched};

/// Contacts, and organisations, that one call asks about; the ticket service takes no more.
const AT_ONCE: usize = 1_000;
/// Fields that one call asks for; more are asked for in a second one.
const FIELDS_AT_ONCE: usize = 500;

/// Whose fields are asked for, and which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Ids of contacts.
    pub contacts: BTreeSet<Uuid>,
    /// Ids of organisations.
    pub organizations: BTreeSet<Uuid>,
    /// What is asked for.
    pub fields: Watched,
}

/// Values by field.
type Values = BTreeMap<String, Vec<String>>;

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owns {
    /// By id of the contact.
    pub contacts: HashMap<Uuid, Values>,
    /// By id of the organisation.
    pub organizations: HashMap<Uuid, Values>,
}

impl Owns {
    /// As a ticket of this contact and these organisations sees them. Of several organisations, all values count.
    pub fn of<'a>(
        &self,
        contact: Option<Uuid>,
        organizations: impl Iterator<Item = &'a str>,
    ) -> OwnFields {
        let contact = contact.and_then(|id| self.contacts.get(&id));
        let mut values = contact.cloned().unwrap_or_default();
        let ids = organizations.filter_map(|text| Uuid::parse_str(text).ok());
        for known in ids.filter_map(|id| self.organizations.get(&id)) {
            for (field, more) in known {
                let all = values.entry(field.clone()).or_default();
                let new = more.iter().filter(|value| !all.contains(value)).cloned();
                let new: Vec<String> = new.collect();
                all.extend(new);
            }
        }
        OwnFields(values)
    }

    fn extend(&mut self, more: Self) {
        let parts = [
            (&mut self.contacts, more.contacts),
            (&mut self.organizations, more.organizations),
        ];
        for (known, more) in parts {
            for (id, values) in more {
                known.entry(id).or_default().extend(values);
            }
        }
    }
}

/// The own fields of the contact and the organisations of one ticket, by the names that conditions use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnFields(Values);

impl OwnFields {
    /// The value of a field, if it is set.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<Fact<'_>> {
        value_of(&self.0, field)
    }

    /// All that is set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        let all = self.0.iter();
        all.map(|(field, values)| (field.as_str(), values.as_slice()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for OwnFields {
    fn from(values: [(&str, &str); N]) -> Self {
        let own = values.map(|(field, value)| (field.to_owned(), vec![value.to_owned()]));
        Self(own.into_iter().collect())
    }
}

/// Asks for `watched` of contacts and organisations, in as many calls as it takes. Nothing to ask costs nothing.
///
/// # Errors
/// [`InquiryError`] when one of the calls was not answered.
pub async fn ask(
    source: &dyn Inquiry,
    watched: &Watched,
    contacts: impl IntoIterator<Item = Uuid>,
    organizations: impl IntoIterator<Item = Uuid>,
) -> Result<Owns, InquiryError> {
    let wanted = |wants: bool, ids: BTreeSet<Uuid>| -> Vec<Uuid> {
        if wants {
            ids.into_iter().collect()
        } else {
            Vec::new()
        }
    };
    let contacts = wanted(watched.asks_contacts(), contacts.into_iter().collect());
    let organizations = organizations.into_iter().collect();
    let organizations = wanted(watched.asks_organizations(), organizations);
    let names: Vec<&str> = watched.names().collect();
    let mut owns = Owns::default();
    let calls = contacts.len().max(organizations.len()).div_ceil(AT_ONCE);
    for call in 0..calls {
        let part = |ids: &[Uuid]| -> BTreeSet<Uuid> {
            let ids = ids.iter().skip(call * AT_ONCE).take(AT_ONCE);
            ids.copied().collect()
        };
        for names in names.chunks(FIELDS_AT_ONCE) {
            let asked = Asked {
                contacts: part(&contacts),
                organizations: part(&organizations),
                fields: names.iter().copied().collect(),
            };
            owns.extend(source.values(&asked).await?);
        }
    }
    Ok(owns)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Answer;

    #[derive(Default)]
    struct Counting(Mutex<Vec<Asked>>);

    impl Inquiry for Counting {
        fn is_configured(&self) -> bool {
            true
        }

        fn values<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Owns> {
            self.0.lock().unwrap().push(asked.clone());
            let known = |id: &Uuid| {
                let values = asked
                    .fields
                    .names()
                    .map(|it| (it.to_owned(), vec![id.to_string()]));
                (*id, values.collect())
            };
            let owns = Owns {
                contacts: asked.contacts.iter().map(known).collect(),
                organizations: asked.organizations.iter().map(known).collect(),
            };
            Box::pin(std::future::ready(Ok(owns)))
        }
    }

    fn ids(numbers: std::ops::Range<u128>) -> Vec<Uuid> {
        numbers.map(Uuid::from_u128).collect()
    }

    #[tokio::test]
    async fn questions_are_cut_to_what_one_call_takes() {
        let source = Counting::default();
        let contacts: Watched = ["contact.language"].into_iter().collect();
        let owns = ask(&source, &contacts, ids(0..2_500), ids(0..5)).await;
        assert_eq!(owns.unwrap().contacts.len(), 2_500);
        let asked = std::mem::take(&mut *source.0.lock().unwrap());
        let sizes: Vec<usize> = asked.iter().map(|it| it.contacts.len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        assert!(
            asked.iter().all(|it| it.organizations.is_empty()),
            "nobody looks at them"
        );
        let many: Watched = (0..501).map(|it| format!("contact.fields.f{it}")).collect();
        let owns = ask(&source, &many, ids(0..1), ids(0..0)).await.unwrap();
        let values = owns.contacts.into_values().next().unwrap();
        assert_eq!(values.len(), 501);
        source.0.lock().unwrap().clear();
        ask(&source, &contacts, [], []).await.unwrap();
        ask(&source, &Watched::default(), ids(0..9), ids(0..9))
            .await
            .unwrap();
        assert!(source.0.lock().unwrap().is_empty(), "nothing to ask");
    }

    #[test]
    fn several_organisations_count_together() {
        let values = |plan: &str| {
            let name = "organization.fields.plan".to_owned();
            Values::from([(name, vec![plan.to_owned()])])
        };
        let owns = Owns {
            organizations: HashMap::from([
                (Uuid::from_u128(1), values("gold")),
                (Uuid::from_u128(2), values("iron")),
            ]),
            ..Owns::default()
        };
        let texts: Vec<String> = ids(1..4).iter().map(Uuid::to_string).collect();
        let own = owns.of(None, texts.iter().map(String::as_str));
        let found = own.get("organization.fields.plan");
        let wanted = ["gold".to_owned(), "iron".to_owned()];
        assert_eq!(found, Some(wanted.as_slice().into()));
        assert_eq!(own.get("organization.name"), None);
        assert_eq!(own.iter().count(), 1);
    }
}
