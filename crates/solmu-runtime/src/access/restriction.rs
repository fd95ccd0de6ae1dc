//! Who sees a restricted ticket, as every service can ask it.
//!
//! The ticket service writes it in the transaction that restricts the ticket. It stands here and not in that service's
//! tables because router and SLA service answer about tickets, too: told by events, they would show for a while what
//! must not be seen any more.

use std::collections::HashMap;

use solmu_db::DbError;
use solmu_domain::ids::{AgentId, TeamId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Visibility;

/// Who sees a restricted ticket. Sorted, without doubles, and never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    /// Agents by name.
    pub agents: Vec<Uuid>,
    /// Everybody in these teams.
    pub teams: Vec<Uuid>,
}

impl Restriction {
    /// Of these agents and teams.
    #[must_use]
    pub fn new(mut agents: Vec<Uuid>, mut teams: Vec<Uuid>) -> Self {
        for ids in [&mut agents, &mut teams] {
            ids.sort_unstable();
            ids.dedup();
        }
        Self { agents, teams }
    }

    /// All who are named, as they stand on the ticket.
    #[must_use]
    pub fn names(&self) -> Vec<Uuid> {
        self.agents.iter().chain(&self.teams).copied().collect()
    }

    /// Whether nobody is named.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.agents.is_empty() && self.teams.is_empty()
    }

    /// Whether a ticket may have this owner: an agent who is named, or somebody or nobody in a team that is.
    #[must_use]
    pub fn admits(&self, agent: Option<Uuid>, team: Option<Uuid>) -> bool {
        agent.is_some_and(|agent| self.agents.contains(&agent))
            || team.is_some_and(|team| self.teams.contains(&team))
    }

    /// Whom both name. For what is put together of tickets of both: no side's words reach who was not to read them.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let both = |ours: &[Uuid], theirs: &[Uuid]| -> Vec<Uuid> {
            let common = ours.iter().filter(|id| theirs.contains(id));
            common.copied().collect()
        };
        Self {
            agents: both(&self.agents, &other.agents),
            teams: both(&self.teams, &other.teams),
        }
    }

    /// The restrictions of those of `tickets` that have one.
    pub async fn of(
        connection: &mut PgConnection,
        tickets: &[Uuid],
    ) -> Result<HashMap<Uuid, Self>, DbError> {
        if tickets.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(Uuid, Vec<Uuid>, Vec<Uuid>)> = sqlx::query_as(
            "SELECT ticket_id, agent_ids, team_ids FROM access.restriction WHERE ticket_id = ANY($1)",
        )
        .bind(tickets)
        .fetch_all(connection)
        .await?;
        let restrictions = rows
            .into_iter()
            .map(|(ticket, agents, teams)| (ticket, Self { agents, teams }));
        Ok(restrictions.collect())
    }

    /// Restricts `tickets`; without anybody, ends their restrictions.
    pub async fn put(
        tx: &mut PgConnection,
        tickets: &[Uuid],
        restriction: Option<&Self>,
    ) -> Result<(), DbError> {
        let Some(it) = restriction else {
            sqlx::query("DELETE FROM access.restriction WHERE ticket_id = ANY($1)")
                .bind(tickets)
                .execute(tx)
                .await?;
            return Ok(());
        };
        sqlx::query(
            "INSERT INTO access.restriction (ticket_id, agent_ids, team_ids) SELECT id, $2, $3 FROM unnest($1::uuid[]) AS it (id)
             ON CONFLICT (ticket_id) DO UPDATE SET agent_ids = excluded.agent_ids, team_ids = excluded.team_ids",
        )
        .bind(tickets)
        .bind(&it.agents)
        .bind(&it.teams)
        .execute(tx)
        .await?;
        Ok(())
    }
}

impl Visibility {
    /// Whether a ticket is seen, of which the asking service knows team and owner.
    pub async fn sees_ticket(
        &self,
        pool: &PgPool,
        ticket: Uuid,
        team: Option<TeamId>,
        assignee: Option<AgentId>,
    ) -> Result<bool, DbError> {
        if self == &Self::Everything {
            return Ok(true);
        }
        let mut connection = pool.acquire().await?;
        let known = Restriction::of(&mut connection, &[ticket]).await?;
        let named = known.get(&ticket).map(Restriction::names);
        Ok(self.sees(team, assignee, named.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_named_or_in_a_named_team() {
        let id = |n: u128| Uuid::from_u128(n);
        let it = Restriction::new(vec![id(2), id(1), id(2)], vec![id(7)]);
        assert_eq!(it.agents, [id(1), id(2)]);
        assert!(it.admits(Some(id(1)), None) && it.admits(Some(id(1)), Some(id(8))));
        assert!(it.admits(None, Some(id(7))) && it.admits(Some(id(5)), Some(id(7))));
        assert!(!it.admits(None, None) && !it.admits(Some(id(5)), Some(id(8))));
        let other = Restriction::new(vec![id(2), id(3)], vec![]);
        assert_eq!(it.common(&other), Restriction::new(vec![id(2)], vec![]));
        assert!(it.common(&Restriction::new(vec![id(9)], vec![])).is_empty());
    }
}
