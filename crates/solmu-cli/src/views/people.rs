//! Contacts, agents, teams and rules.

use jiff::Timestamp;
use serde::Serialize;
use solmu_proto::{
    contact::v1::Contact,
    routing::v1::{Agent, Rule, Team},
};

use crate::words;

/// A contact.
#[derive(Debug, Serialize)]
pub struct ContactView {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) language: String,
    pub(crate) ticket_count: i64,
    pub(crate) create_time: Option<Timestamp>,
    pub(crate) identities: Vec<IdentityView>,
}

/// A name that a contact is known by.
#[derive(Debug, Serialize)]
pub(crate) struct IdentityView {
    pub(crate) kind: String,
    pub(crate) value: String,
    pub(crate) assurance: String,
    pub(crate) attested_by: String,
    pub(crate) scope: String,
    pub(crate) undeliverable_time: Option<Timestamp>,
    pub(crate) undeliverable_cause: String,
}

impl From<&Contact> for ContactView {
    fn from(contact: &Contact) -> Self {
        let identities = contact.identities.iter().map(|identity| IdentityView {
            kind: words::identity(identity.kind),
            value: identity.value.clone(),
            assurance: words::assurance(identity.assurance),
            attested_by: identity.attested_by.clone(),
            scope: identity.scope.clone(),
            undeliverable_time: words::time(identity.undeliverable_time.as_ref()),
            undeliverable_cause: identity.undeliverable_cause.clone(),
        });
        Self {
            id: contact.id.clone(),
            display_name: contact.display_name.clone(),
            language: contact.language.clone(),
            ticket_count: contact.ticket_count,
            create_time: words::time(contact.create_time.as_ref()),
            identities: identities.collect(),
        }
    }
}

/// What there is to know before one writes to them: addresses that mail came back from.
#[must_use]
pub fn undeliverable(contact: &Contact, now: Timestamp) -> Vec<String> {
    let marked = contact.identities.iter().filter_map(|identity| {
        let since = words::time(identity.undeliverable_time.as_ref())?;
        let mut text = format!(
            "mail to {} comes back, last {}",
            words::short(&identity.value, 60),
            words::relative(now, since)
        );
        if !identity.undeliverable_cause.is_empty() {
            text.push_str(": ");
            text.push_str(&words::short(&identity.undeliverable_cause, 100));
        }
        Some(text)
    });
    marked.collect()
}

/// An agent.
#[derive(Debug, Serialize)]
pub(crate) struct AgentView {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) team_ids: Vec<String>,
    pub(crate) presence: String,
    pub(crate) presence_time: Option<Timestamp>,
    pub(crate) capacity: i32,
    pub(crate) load: i32,
    pub(crate) email: String,
}

impl From<&Agent> for AgentView {
    fn from(agent: &Agent) -> Self {
        Self {
            id: agent.id.clone(),
            display_name: agent.display_name.clone(),
            team_ids: agent.team_ids.clone(),
            presence: words::presence(agent.presence),
            presence_time: words::time(agent.presence_time.as_ref()),
            capacity: agent.capacity,
            load: agent.load,
            email: agent.email.clone(),
        }
    }
}

/// A team.
#[derive(Debug, Serialize)]
pub(crate) struct TeamView {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) default: bool,
}

impl From<&Team> for TeamView {
    fn from(team: &Team) -> Self {
        Self {
            id: team.id.clone(),
            display_name: team.display_name.clone(),
            default: team.default,
        }
    }
}

/// A routing rule.
#[derive(Debug, Serialize)]
pub(crate) struct RuleView {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) position: i32,
    pub(crate) condition: String,
    pub(crate) team_id: String,
    pub(crate) set_priority: String,
    pub(crate) add_tags: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) version: i64,
    /// Right after it was saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl From<&Rule> for RuleView {
    fn from(rule: &Rule) -> Self {
        Self {
            id: rule.id.clone(),
            display_name: rule.display_name.clone(),
            position: rule.position,
            condition: rule.condition.clone(),
            team_id: rule.team_id.clone(),
            set_priority: rule.set_priority.clone(),
            add_tags: rule.add_tags.clone(),
            enabled: rule.enabled,
            version: rule.version,
            warnings: rule.warnings.clone(),
        }
    }
}
