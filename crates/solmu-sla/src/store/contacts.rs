//! Who leads a team, and whom its leads answer to.

use solmu_db::DbError;
use sqlx::PgConnection;
use uuid::Uuid;

/// What somebody is to a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Lead,
    Manager,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Manager => "manager",
        }
    }
}

/// The contacts of a team; the nil team stands for all that have none of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contacts {
    pub(crate) team: Uuid,
    pub(crate) leads: Vec<Uuid>,
    pub(crate) managers: Vec<Uuid>,
}

impl Contacts {
    /// Those of one role.
    pub(crate) fn of(&self, role: Role) -> &[Uuid] {
        match role {
            Role::Lead => &self.leads,
            Role::Manager => &self.managers,
        }
    }
}

/// All of them, by team.
pub(crate) async fn contact_list(tx: &mut PgConnection) -> Result<Vec<Contacts>, DbError> {
    let rows: Vec<(Uuid, String, Uuid)> = sqlx::query_as(
        "SELECT team_id, role, agent_id FROM sla.team_contact ORDER BY team_id, role, place, agent_id",
    )
    .fetch_all(tx)
    .await?;
    let mut contacts: Vec<Contacts> = Vec::new();
    for (team, role, agent) in rows {
        if contacts.last().is_none_or(|last| last.team != team) {
            contacts.push(Contacts {
                team,
                ..Contacts::default()
            });
        }
        let Some(last) = contacts.last_mut() else {
            continue;
        };
        if role == Role::Lead.name() {
            last.leads.push(agent);
        } else {
            last.managers.push(agent);
        }
    }
    Ok(contacts)
}

/// Puts these in the place of what the team had.
pub(crate) async fn contact_set(tx: &mut PgConnection, contacts: &Contacts) -> Result<(), DbError> {
    sqlx::query("DELETE FROM sla.team_contact WHERE team_id = $1")
        .bind(contacts.team)
        .execute(&mut *tx)
        .await?;
    for role in [Role::Lead, Role::Manager] {
        sqlx::query(
            "INSERT INTO sla.team_contact (team_id, role, agent_id, place)
             SELECT $1, $2, agent, place FROM unnest($3::uuid[]) WITH ORDINALITY AS row (agent, place)",
        )
        .bind(contacts.team)
        .bind(role.name())
        .bind(contacts.of(role))
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
