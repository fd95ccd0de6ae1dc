//! Which tickets a caller sees.
//!
//! Two things decide: whose team a ticket is in, where agents are bound to their teams, and who is named where a ticket
//! is restricted. To be named counts more: a restricted ticket is seen by those and nobody else, in whatever team it is.

use std::sync::Arc;

use solmu_domain::ids::{AgentId, TeamId};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// Which tickets a caller sees and may change. A ticket that is not seen is answered as one that does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Every ticket, restricted ones included.
    #[default]
    Everything,
    /// Those of every team; of restricted ones, those that name the agent or a team of theirs.
    AllTeams {
        /// The agent who calls; none for a service without the scope for restricted tickets.
        agent: Option<AgentId>,
        /// Their teams, as far as they are known.
        teams: Arc<[TeamId]>,
    },
    /// Those of the teams, and those assigned to the agent wherever they are; of restricted ones, those that name them.
    Teams {
        /// The agent who calls.
        agent: AgentId,
        /// Their teams, those that they help included.
        teams: Arc<[TeamId]>,
    },
}

/// What a condition over a ticket in SQL needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SightBinds {
    /// The caller and their teams, whom a restriction may name; none: restricted tickets are all seen.
    pub names: Option<Vec<Uuid>>,
    /// The teams that the caller is bound to; none: not bound.
    pub teams: Option<Vec<Uuid>>,
    /// The caller, if bound to teams.
    pub agent: Option<Uuid>,
}

impl Visibility {
    /// Whether a ticket of this team and assignee is seen, which is restricted to `names`, if it is restricted. One that
    /// no team has yet is not seen by who is bound to teams.
    #[must_use]
    pub fn sees(
        &self,
        team: Option<TeamId>,
        assignee: Option<AgentId>,
        restricted_to: Option<&[Uuid]>,
    ) -> bool {
        let binds = self.sight_binds();
        match (restricted_to, binds.names) {
            (_, None) => true,
            (Some(whom), Some(names)) => names.iter().any(|name| whom.contains(name)),
            (None, Some(_)) => match self {
                Self::Teams { agent, teams } => {
                    assignee == Some(*agent) || team.is_some_and(|team| teams.contains(&team))
                }
                Self::Everything | Self::AllTeams { .. } => true,
            },
        }
    }

    /// Whether only tickets of some teams are seen.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        matches!(self, Self::Teams { .. })
    }

    /// Whether the caller is bound to teams, and not to this one.
    #[must_use]
    pub fn excludes_team(&self, team: Option<TeamId>) -> bool {
        match self {
            Self::Teams { teams, .. } => !team.is_some_and(|team| teams.contains(&team)),
            Self::Everything | Self::AllTeams { .. } => false,
        }
    }

    /// The teams and the agent that who is bound to teams is bound to. Both are null for everybody else. About tickets,
    /// [`Visibility::push`] is the whole condition.
    #[must_use]
    pub fn binds(&self) -> (Option<Vec<Uuid>>, Option<Uuid>) {
        let binds = self.sight_binds();
        (binds.teams, binds.agent)
    }

    /// Values for a condition that is written out, as `CASE WHEN $1::uuid[] IS NULL THEN true WHEN restricted_to IS NOT
    /// NULL THEN restricted_to && $1 ELSE $2::uuid[] IS NULL OR team_id = ANY($2) OR assignee_id = $3 END`.
    #[must_use]
    pub fn sight_binds(&self) -> SightBinds {
        let named = |agent: Option<AgentId>, teams: &[TeamId]| {
            let teams = teams.iter().map(|team| team.as_uuid());
            let all = agent.map(AgentId::as_uuid).into_iter().chain(teams);
            Some(all.collect::<Vec<Uuid>>())
        };
        match self {
            Self::Everything => SightBinds::default(),
            Self::AllTeams { agent, teams } => SightBinds {
                names: named(*agent, teams),
                ..SightBinds::default()
            },
            Self::Teams { agent, teams } => SightBinds {
                names: named(Some(*agent), teams),
                teams: Some(teams.iter().map(|team| team.as_uuid()).collect()),
                agent: Some(agent.as_uuid()),
            },
        }
    }

    /// Adds the condition over a `ticket` with `team_id`, `assignee_id` and `restricted_to` to a `WHERE` that has begun.
    pub fn push(&self, query: &mut QueryBuilder<Postgres>) {
        let SightBinds {
            names,
            teams,
            agent,
        } = self.sight_binds();
        let Some(names) = names else { return };
        query
            .push(" AND (ticket.restricted_to && ")
            .push_bind(names);
        query.push(" OR (ticket.restricted_to IS NULL");
        if let (Some(teams), Some(agent)) = (teams, agent) {
            query.push(" AND (ticket.team_id = ANY(").push_bind(teams);
            query.push(") OR ticket.assignee_id = ").push_bind(agent);
            query.push(")");
        }
        query.push("))");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn teams_and_what_is_assigned_are_seen() {
        let (mine, other) = (TeamId::from_uuid(id(1)), TeamId::from_uuid(id(2)));
        let (me, them) = (AgentId::from_uuid(id(3)), AgentId::from_uuid(id(4)));
        let seen = Visibility::Teams {
            agent: me,
            teams: [mine].into(),
        };
        assert!(seen.sees(Some(mine), None, None));
        assert!(seen.sees(Some(mine), Some(them), None));
        assert!(seen.sees(Some(other), Some(me), None));
        assert!(!seen.sees(Some(other), Some(them), None));
        assert!(!seen.sees(None, None, None));
        assert!(seen.excludes_team(Some(other)) && seen.excludes_team(None));
        assert!(!seen.excludes_team(Some(mine)));
        assert!(Visibility::Everything.sees(None, None, None));
        assert_eq!(seen.binds(), (Some(vec![id(1)]), Some(id(3))));
        assert_eq!(Visibility::Everything.binds(), (None, None));
    }

    #[test]
    fn a_restricted_ticket_is_seen_by_whom_it_names() {
        let (team, me) = (TeamId::from_uuid(id(1)), AgentId::from_uuid(id(3)));
        let bound = Visibility::Teams {
            agent: me,
            teams: [team].into(),
        };
        let manager = Visibility::AllTeams {
            agent: Some(me),
            teams: [team].into(),
        };
        let service = Visibility::AllTeams {
            agent: None,
            teams: [].into(),
        };
        for seen in [&bound, &manager] {
            assert!(seen.sees(None, None, Some(&[id(3)])), "named themselves");
            assert!(seen.sees(None, None, Some(&[id(9), id(1)])), "their team");
            let owned = seen.sees(Some(team), Some(me), Some(&[id(9)]));
            assert!(!owned, "whatever team and owner it has");
            assert!(!seen.sees(None, None, Some(&[])));
        }
        assert!(manager.sees(None, None, None) && service.sees(None, None, None));
        assert!(!service.sees(None, None, Some(&[id(3)])));
        assert!(Visibility::Everything.sees(None, None, Some(&[id(9)])));
    }
}
