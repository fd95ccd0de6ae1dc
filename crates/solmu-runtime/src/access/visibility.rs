//! Which tickets a caller sees.

use std::sync::Arc;

use solmu_domain::ids::{AgentId, TeamId};
use uuid::Uuid;

/// Which tickets a caller sees and may change. A ticket that is not seen is answered as one that does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Every ticket.
    #[default]
    Everything,
    /// Those of the teams, and those assigned to the agent wherever they are.
    Teams {
        /// The agent who calls.
        agent: AgentId,
        /// Their teams, those that they help included.
        teams: Arc<[TeamId]>,
    },
}

impl Visibility {
    /// Whether a ticket of this team and assignee is seen. One that no team has yet is not.
    #[must_use]
    pub fn includes(&self, team: Option<TeamId>, assignee: Option<AgentId>) -> bool {
        match self {
            Self::Everything => true,
            Self::Teams { agent, teams } => {
                assignee == Some(*agent) || team.is_some_and(|team| teams.contains(&team))
            }
        }
    }

    /// Values for SQL: `($1::uuid[] IS NULL OR team_id = ANY($1) OR assignee_id = $2)`. Both are null when everything is
    /// seen.
    #[must_use]
    pub fn binds(&self) -> (Option<Vec<Uuid>>, Option<Uuid>) {
        match self {
            Self::Everything => (None, None),
            Self::Teams { agent, teams } => (
                Some(teams.iter().map(|team| team.as_uuid()).collect()),
                Some(agent.as_uuid()),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_and_what_is_assigned_are_seen() {
        let id = |n: u128| Uuid::from_u128(n);
        let (mine, other) = (TeamId::from_uuid(id(1)), TeamId::from_uuid(id(2)));
        let (me, them) = (AgentId::from_uuid(id(3)), AgentId::from_uuid(id(4)));
        let seen = Visibility::Teams {
            agent: me,
            teams: [mine].into(),
        };
        assert!(seen.includes(Some(mine), None));
        assert!(seen.includes(Some(mine), Some(them)));
        assert!(seen.includes(Some(other), Some(me)));
        assert!(!seen.includes(Some(other), Some(them)));
        assert!(!seen.includes(None, None));
        assert!(Visibility::Everything.includes(None, None));
        assert_eq!(seen.binds(), (Some(vec![id(1)]), Some(id(3))));
        assert_eq!(Visibility::Everything.binds(), (None, None));
    }
}
