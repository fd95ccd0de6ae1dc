//! Policies and calendars in memory: what a ticket gets when it is opened, and the terms that it then keeps.
//!
//! The catalogue is read again when its revision in the database has grown, which each transaction looks at: a new
//! policy holds for the next ticket, in every replica, without a message between them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use solmu_conditions::Checked;
use solmu_db::DbError;
use solmu_domain::{
    ids::CalendarId,
    sla::{Calendar, CalendarSpec, Policy, Terms},
};
use sqlx::PgConnection;

use crate::{
    error::FoldError,
    facts::{SCHEMA, TicketFacts},
    store::catalogue::{self as store, CalendarRow, PolicyRow},
    tracked::PolicyKey,
};

/// A version of a policy, ready for use.
#[derive(Debug)]
pub(crate) struct PolicyVersion {
    pub(crate) key: PolicyKey,
    pub(crate) calendar: CalendarId,
    /// None when it cannot be read any more: the policy then holds for no new ticket.
    condition: Option<Checked>,
    terms: Policy,
}

/// All policies and calendars of one revision.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    revision: i64,
    /// Those that new tickets may get, in order.
    choices: Vec<Arc<PolicyVersion>>,
    policies: HashMap<PolicyKey, Arc<PolicyVersion>>,
    /// By the key that clocks carry.
    calendars: HashMap<String, Arc<Calendar>>,
    newest: HashMap<CalendarId, i32>,
}

/// The policy for a new ticket.
pub(crate) struct Choice<'a> {
    pub(crate) policy: PolicyKey,
    /// Key of its calendar.
    pub(crate) calendar: String,
    pub(crate) terms: Terms<'a>,
}

impl Catalogue {
    /// Makes ready what was stored. What cannot be used is logged and left out; tickets that need it fail one by one.
    fn build(
        revision: i64,
        policies: Vec<PolicyRow>,
        calendars: Vec<CalendarRow>,
        before: Option<&Self>,
    ) -> Self {
        let mut catalogue = Self {
            revision,
            ..Self::default()
        };
        for row in calendars {
            let newest = catalogue.newest.entry(row.id).or_default();
            *newest = row.version.max(*newest);
            let key = calendar_key(row.id, row.version);
            // A version never changes, and keeps what it has computed.
            let known = before.and_then(|before| before.calendars.get(&key).cloned());
            if let Some(calendar) = known.or_else(|| build_calendar(&key, &row.definition)) {
                catalogue.calendars.insert(key, calendar);
            }
        }
        for row in policies {
            let condition = SCHEMA.check(&row.tree);
            if let Err(violations) = &condition {
                let count = violations.len();
                tracing::error!(policy.id = %row.key.id, count, "the condition of a policy cannot be used any more");
            }
            let version = Arc::new(PolicyVersion {
                key: row.key,
                calendar: row.calendar,
                condition: condition.ok(),
                terms: row.terms,
            });
            if row.current {
                catalogue.choices.push(Arc::clone(&version));
            }
            catalogue.policies.insert(version.key, version);
        }
        catalogue
    }

    /// The first policy whose condition holds.
    pub(crate) fn choose(&self, facts: &TicketFacts) -> Option<Choice<'_>> {
        let holds = |policy: &&Arc<PolicyVersion>| {
            let condition = policy.condition.as_ref();
            condition.is_some_and(|condition| condition.evaluate(facts))
        };
        let policy = self.choices.iter().find(holds)?;
        let newest = self.newest.get(&policy.calendar).copied().unwrap_or(1);
        Some(Choice {
            policy: policy.key,
            calendar: calendar_key(policy.calendar, newest),
            terms: self.terms_of(policy),
        })
    }

    /// What the clocks of a ticket are measured by.
    pub(crate) fn terms(&self, key: PolicyKey) -> Result<Terms<'_>, FoldError> {
        let policy = self.policies.get(&key).ok_or(FoldError::UnknownPolicy {
            id: key.id,
            version: key.version,
        })?;
        Ok(self.terms_of(policy))
    }

    fn terms_of<'a>(&'a self, policy: &'a PolicyVersion) -> Terms<'a> {
        Terms {
            policy: &policy.terms,
            calendars: &self.calendars,
        }
    }
}

/// What clocks call a version of a calendar.
pub(crate) fn calendar_key(id: CalendarId, version: i32) -> String {
    format!("{id}@{version}")
}

fn build_calendar(key: &str, definition: &CalendarSpec) -> Option<Arc<Calendar>> {
    match Calendar::new(definition) {
        Ok(calendar) => Some(Arc::new(calendar)),
        Err(error) => {
            tracing::error!(
                calendar = key,
                error = &error as &dyn std::error::Error,
                "a calendar cannot be used any more"
            );
            None
        }
    }
}

/// The catalogue as this process knows it. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct CatalogueCache(Arc<Mutex<Option<Arc<Catalogue>>>>);

impl CatalogueCache {
    /// The catalogue as `tx` sees it.
    pub(crate) async fn current(&self, tx: &mut PgConnection) -> Result<Arc<Catalogue>, DbError> {
        let revision = store::revision(&mut *tx).await?;
        let known = self.known();
        if let Some(catalogue) = known.as_ref().filter(|known| known.revision == revision) {
            return Ok(Arc::clone(catalogue));
        }
        let calendars = store::calendar_list(&mut *tx).await?;
        let policies = store::policy_list(&mut *tx).await?;
        let fresh = Catalogue::build(revision, policies, calendars, known.as_deref());
        let fresh = Arc::new(fresh);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    fn known(&self) -> Option<Arc<Catalogue>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use solmu_conditions::parse;
    use solmu_domain::{
        ids::PolicyId,
        sla::{ANY_PRIORITY, MetricTargets},
    };
    use uuid::Uuid;

    use super::*;

    fn policy(number: u128, condition: &str, current: bool) -> PolicyRow {
        let targets = MetricTargets {
            first_response: Some(60),
            ..MetricTargets::default()
        };
        PolicyRow {
            key: PolicyKey {
                id: PolicyId::from_uuid(Uuid::from_u128(number)),
                version: 1,
            },
            current,
            position: 1,
            display_name: String::new(),
            condition: condition.to_owned(),
            tree: parse(condition, &SCHEMA).unwrap().condition().clone(),
            calendar: calendar_id(),
            terms: Policy::new(BTreeMap::from([(ANY_PRIORITY.to_owned(), targets)])),
        }
    }

    fn calendar_id() -> CalendarId {
        CalendarId::from_uuid(Uuid::from_u128(9))
    }

    fn calendar(version: i32) -> CalendarRow {
        CalendarRow {
            id: calendar_id(),
            version,
            display_name: String::new(),
            definition: CalendarSpec {
                always_open: true,
                ..CalendarSpec::default()
            },
        }
    }

    #[test]
    fn the_first_that_holds_wins_with_the_newest_calendar() {
        let policies = vec![
            policy(1, "", false),
            policy(2, "tags:vip", true),
            policy(3, "", true),
        ];
        let catalogue = Catalogue::build(1, policies, vec![calendar(1), calendar(2)], None);
        let chosen = |tags: &[&str]| {
            let tags = tags.iter().map(ToString::to_string).collect();
            let facts = TicketFacts {
                tags,
                ..TicketFacts::default()
            };
            let choice = catalogue.choose(&facts).unwrap();
            assert!(choice.calendar.ends_with("@2"));
            choice.policy.id.as_uuid().as_u128()
        };
        assert_eq!((chosen(&["vip"]), chosen(&[])), (2, 3));
        let old = PolicyKey {
            id: PolicyId::from_uuid(Uuid::from_u128(1)),
            version: 1,
        };
        assert!(catalogue.terms(old).is_ok(), "tickets keep what they have");
    }

    #[test]
    fn a_calendar_keeps_what_it_has_computed() {
        let first = Catalogue::build(1, Vec::new(), vec![calendar(1)], None);
        let second = Catalogue::build(2, Vec::new(), vec![calendar(1)], Some(&first));
        let key = calendar_key(calendar_id(), 1);
        assert!(Arc::ptr_eq(&first.calendars[&key], &second.calendars[&key]));
    }
}
