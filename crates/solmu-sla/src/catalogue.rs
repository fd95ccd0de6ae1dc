//! Policies and calendars in memory: what a ticket gets when it is opened, and the terms that it then keeps.
//!
//! The catalogue is read again when its revision in the database has grown, which each transaction looks at: a new
//! policy holds for the next ticket, in every replica, without a message between them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use solmu_conditions::{Checked, Explanation};
use solmu_db::DbError;
use solmu_domain::{
    ids::{CalendarId, PolicyId},
    sla::{
        Calendar, CalendarFrom, CalendarSpec, Calendars, Metric, OnEdit, Policies, Policy, Terms,
    },
};
use solmu_inquiry::Watched;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::FoldError,
    facts::{SCHEMA, TicketFacts},
    policy_set::{PolicyKey, PolicySet},
    store::{
        catalogue::{self as store, CalendarRow, PolicyRow},
        contacts::{self, Contacts, Role},
    },
};

/// Key of what holds for a ticket before its first policy does: no clock begins under it.
pub(crate) const NO_POLICY: &str = "none";
/// Policies that hold for one ticket at most.
const MAX_COMBINED: usize = 6;

/// A version of a policy, ready for use.
#[derive(Debug)]
pub(crate) struct PolicyVersion {
    pub(crate) row: PolicyRow,
    /// None when it cannot be read any more: the policy then holds for no new ticket.
    condition: Option<Checked>,
    terms: Arc<Policy>,
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
    teams: HashMap<Uuid, CalendarId>,
    /// By team; the nil team stands for all others.
    contacts: HashMap<Uuid, Contacts>,
    /// What sets of policies promise together, by their key, as far as it was asked for.
    composed: Mutex<HashMap<String, Arc<Policy>>>,
    /// What those that new tickets may get look at, of contacts and organisations.
    watched: Watched,
}

/// Which calendars clocks are counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockCalendars {
    pub(crate) key: String,
    /// Of those metrics that have another one.
    pub(crate) metrics: BTreeMap<Metric, String>,
}

/// The policies for a new ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) policies: PolicySet,
    pub(crate) calendars: ClockCalendars,
}

impl Catalogue {
    /// Makes ready what was stored. What cannot be used is logged and left out; tickets that need it fail one by one.
    fn build(
        revision: i64,
        policies: Vec<PolicyRow>,
        calendars: Vec<CalendarRow>,
        teams: HashMap<Uuid, CalendarId>,
        before: Option<&Self>,
    ) -> Self {
        let mut catalogue = Self {
            revision,
            teams,
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
                condition: condition.ok(),
                terms: Arc::new(row.terms.clone()),
                row,
            });
            if version.row.current {
                let watched = version.condition.as_ref().map(Watched::of);
                catalogue.watched.add(&watched.unwrap_or_default());
                catalogue.choices.push(Arc::clone(&version));
            }
            catalogue.policies.insert(version.row.key, version);
        }
        catalogue
    }

    /// What policies look at, of contacts and organisations.
    pub(crate) const fn watched(&self) -> &Watched {
        &self.watched
    }

    /// The policies that new tickets may get, in order, each with why it holds for a ticket, or does not.
    pub(crate) fn asked_about<'a>(
        &'a self,
        facts: &'a TicketFacts,
    ) -> impl Iterator<Item = (&'a PolicyVersion, Explanation)> {
        self.choices.iter().filter_map(|policy| {
            let condition = policy.condition.as_ref()?;
            Some((policy.as_ref(), condition.explain(facts)))
        })
    }

    /// The first policy whose condition holds, with those that it combines with.
    pub(crate) fn choose(&self, facts: &TicketFacts) -> Option<Choice> {
        let holds = |policy: &&Arc<PolicyVersion>| {
            let condition = policy.condition.as_ref();
            condition.is_some_and(|condition| condition.evaluate(facts))
        };
        let mut chosen: Vec<&PolicyVersion> = Vec::new();
        for policy in self.choices.iter().filter(holds) {
            let measured = |metric: &Metric| chosen.iter().any(|it| it.terms.measures(*metric));
            let adds = |metric: &Metric| policy.terms.measures(*metric) && !measured(metric);
            if chosen.is_empty() || Metric::ALL.iter().any(adds) {
                chosen.push(policy);
            }
            if !policy.terms.rules.combine || chosen.len() == MAX_COMBINED {
                break;
            }
        }
        let policies = PolicySet::of(chosen.iter().map(|policy| policy.row.key).collect())?;
        let calendars = self.calendars_of(&policies, facts.team);
        Some(Choice {
            policies,
            calendars,
        })
    }

    /// The newest versions of the calendars that policies want for a ticket of a team.
    pub(crate) fn calendars_of(&self, set: &PolicySet, team: Option<Uuid>) -> ClockCalendars {
        let policies = self.versions(set);
        let wanted = |policy: &PolicyVersion| {
            let of_team = || self.teams.get(&team?).copied();
            let id = match policy.terms.rules.calendar_from {
                CalendarFrom::Policy => None,
                CalendarFrom::TeamAtOpening | CalendarFrom::Team => of_team(),
            };
            let id = id.unwrap_or(policy.row.calendar);
            calendar_key(id, self.newest.get(&id).copied().unwrap_or(1))
        };
        let key = policies.first().map(|first| wanted(first));
        let key = key.unwrap_or_default();
        let mut metrics = BTreeMap::new();
        for metric in Metric::ALL {
            let owner = policies.iter().find(|policy| policy.terms.measures(metric));
            if let Some(own) = owner.map(|owner| wanted(owner)).filter(|own| *own != key) {
                metrics.insert(metric, own);
            }
        }
        ClockCalendars { key, metrics }
    }

    /// The same with who is told of teams' deadlines.
    fn with_contacts(mut self, contacts: Vec<Contacts>) -> Self {
        let by_team = contacts
            .into_iter()
            .map(|contacts| (contacts.team, contacts));
        self.contacts = by_team.collect();
        self
    }

    /// The agents whom a step means by `team_lead` or `manager` for a ticket of a team; none for other targets.
    pub(crate) fn contacts(&self, target: &str, team: Option<&str>) -> &[Uuid] {
        let role = match target {
            "team_lead" => Role::Lead,
            "manager" => Role::Manager,
            _ => return &[],
        };
        let team = team.and_then(|team| team.parse().ok());
        // A team that has leads and no manager has the manager of all.
        let candidates = team.into_iter().chain([Uuid::nil()]);
        let mut found = candidates
            .filter_map(|team| self.contacts.get(&team))
            .map(|contacts| contacts.of(role));
        found.find(|agents| !agents.is_empty()).unwrap_or_default()
    }

    /// Whether a ticket with these policies goes by the calendar of its team, also when that changes.
    pub(crate) fn follows_team(&self, set: &PolicySet) -> bool {
        let follows =
            |policy: &&PolicyVersion| policy.terms.rules.calendar_from == CalendarFrom::Team;
        self.versions(set).iter().any(follows)
    }

    /// What the first policy of a set says of tickets that come to it later.
    pub(crate) fn on_edit(&self, set: &PolicySet) -> OnEdit {
        let versions = self.versions(set);
        let first = versions.first().map(|first| first.row.terms.rules.on_edit);
        first.unwrap_or_default()
    }

    /// Those of the set that are known, in order.
    pub(crate) fn versions(&self, set: &PolicySet) -> Vec<&PolicyVersion> {
        let known = |key| self.policies.get(key).map(AsRef::as_ref);
        set.keys().iter().filter_map(known).collect()
    }

    /// The policy that a metric's clock is kept for: the first that measures it.
    pub(crate) fn owner(&self, set: &PolicySet, metric: Metric) -> PolicyId {
        let versions = self.versions(set);
        let owner = versions.iter().find(|policy| policy.terms.measures(metric));
        owner.map_or(set.first().id, |owner| owner.row.key.id)
    }

    /// The version of a policy that new tickets get.
    pub(crate) fn current(&self, id: PolicyId) -> Option<&PolicyVersion> {
        let current = self.choices.iter().find(|policy| policy.row.key.id == id);
        current.map(AsRef::as_ref)
    }

    /// What several policies promise together.
    pub(crate) fn composed(&self, set: &PolicySet) -> Option<Policy> {
        let versions = self.versions(set);
        if versions.len() != set.keys().len() {
            return None;
        }
        let terms: Vec<&Policy> = versions.iter().map(|it| it.terms.as_ref()).collect();
        Policy::compose(&terms)
    }

    /// What the clocks of a ticket are measured by.
    pub(crate) fn terms(&self, set: &PolicySet) -> Result<Terms<'_>, FoldError> {
        let key = set.first();
        let policy = self.policies.get(&key).ok_or(FoldError::UnknownPolicy {
            id: key.id,
            version: key.version,
        })?;
        Ok(Terms {
            policy: &policy.terms,
            calendars: self,
            policies: self,
        })
    }
}

impl Calendars for Catalogue {
    fn calendar(&self, key: &str) -> Option<&Calendar> {
        self.calendars.get(key).map(AsRef::as_ref)
    }
}

impl Policies for Catalogue {
    fn policy(&self, key: &str) -> Option<Arc<Policy>> {
        let mut composed = self.composed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = composed.get(key) {
            return Some(Arc::clone(policy));
        }
        let policy = if key == NO_POLICY {
            Policy::new(BTreeMap::new())
        } else {
            self.composed(&key.parse().ok()?)?
        };
        let policy = Arc::new(policy);
        composed.insert(key.to_owned(), Arc::clone(&policy));
        Some(policy)
    }
}

/// What clocks call a version of a calendar.
pub(crate) fn calendar_key(id: CalendarId, version: i32) -> String {
    format!("{id}@{version}")
}

/// Whether both keys are of one calendar.
pub(crate) fn is_same_calendar(a: &str, b: &str) -> bool {
    let id = |key: &str| key.split('@').next().map(str::to_owned);
    id(a) == id(b)
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
        let teams = store::team_calendar_list(&mut *tx).await?;
        let teams = teams.into_iter().collect();
        let contacts = contacts::contact_list(&mut *tx).await?;
        let fresh = Catalogue::build(revision, policies, calendars, teams, known.as_deref());
        let fresh = Arc::new(fresh.with_contacts(contacts));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// The catalogue as this process saw it last.
    pub(crate) fn known(&self) -> Option<Arc<Catalogue>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
