//! Who is told of a team's deadlines besides the team: its leads, and their managers.
//!
//! They live here and not in the router: they say nothing about who takes tickets, and a step's event names them, so
//! that whoever tells people need not ask back.

use std::collections::HashSet;

use solmu_proto::sla::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation};
use uuid::Uuid;

use super::SlaServer;
use crate::{
    store::{
        catalogue as store,
        contacts::{Contacts, contact_list, contact_set},
    },
    wanted::id_in,
};

/// Agents of one role at most.
const AGENTS_MAX: usize = 20;

impl SlaServer {
    pub(super) async fn set_team_contacts(
        &self,
        request: proto::SetTeamContactsRequest,
    ) -> Result<proto::TeamContacts, ApiError> {
        let given = request.contacts;
        let given = given.ok_or_else(|| ApiError::invalid("contacts", "is missing"))?;
        let contacts = contacts_of(&given)?;
        self.db
            .tx("sla.set_team_contacts", |tx| {
                let contacts = contacts.clone();
                Box::pin(async move {
                    store::revise(tx).await?;
                    contact_set(tx, &contacts).await
                })
            })
            .await?;
        tracing::info!(team.id = %contacts.team, "contacts of a team set");
        Ok(to_proto(&contacts))
    }

    pub(super) async fn list_team_contacts(
        &self,
        _: proto::ListTeamContactsRequest,
    ) -> Result<proto::ListTeamContactsResponse, ApiError> {
        let mut connection = self.connection().await?;
        let contacts = contact_list(&mut connection).await?;
        Ok(proto::ListTeamContactsResponse {
            contacts: contacts.iter().map(to_proto).collect(),
        })
    }
}

fn contacts_of(given: &proto::TeamContacts) -> Result<Contacts, ApiError> {
    let team = match given.team_id.as_str() {
        "" => Uuid::nil(),
        id => id_in("contacts.team_id", id)?,
    };
    Ok(Contacts {
        team,
        leads: agents("contacts.lead_agent_ids", &given.lead_agent_ids)?,
        managers: agents("contacts.manager_agent_ids", &given.manager_agent_ids)?,
    })
}

/// Each once, in the order in which they were given.
fn agents(field: &str, ids: &[String]) -> Result<Vec<Uuid>, ApiError> {
    if ids.len() > AGENTS_MAX {
        let message = format!("has more than {AGENTS_MAX} agents");
        return Err(ApiError::invalid(field, message));
    }
    let mut seen = HashSet::new();
    let mut agents = Vec::with_capacity(ids.len());
    let mut violations = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        match id.parse::<Uuid>() {
            Ok(agent) if seen.insert(agent) => agents.push(agent),
            Ok(_) => {}
            Err(_) => {
                let field = format!("{field}[{index}]");
                violations.push(Violation::new(field, "must be the id of an agent"));
            }
        }
    }
    if violations.is_empty() {
        Ok(agents)
    } else {
        Err(ApiError::InvalidArgument { violations })
    }
}

fn to_proto(contacts: &Contacts) -> proto::TeamContacts {
    let texts = |agents: &[Uuid]| agents.iter().map(Uuid::to_string).collect();
    proto::TeamContacts {
        team_id: if contacts.team.is_nil() {
            String::new()
        } else {
            contacts.team.to_string()
        },
        lead_agent_ids: texts(&contacts.leads),
        manager_agent_ids: texts(&contacts.managers),
    }
}
