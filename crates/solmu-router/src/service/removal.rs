//! Agents and teams that are removed: nothing more goes to them, and what was decided still names them.

use solmu_db::outbox::{self, Owner};
use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::{Resource, Service};
use crate::store::removal::{TeamNeeded, agent_archive, team_archive, team_needed};

impl Service {
    pub(super) async fn agent_remove(&self, id: AgentId) -> Result<proto::Agent, ApiError> {
        let event = self.changed(Resource::Agent, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.delete_agent", |tx| {
                let event = event.clone();
                Box::pin(async move {
                    if agent_archive(tx, id, now).await? {
                        outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    }
                    Ok::<_, ApiError>(())
                })
            })
            .await?;
        self.agent_get(id).await
    }

    pub(super) async fn team_remove(&self, id: TeamId) -> Result<proto::Team, ApiError> {
        let event = self.changed(Resource::Team, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.delete_team", |tx| {
                let event = event.clone();
                Box::pin(async move {
                    let needed = team_needed(tx, id).await?.map(|by| match by {
                        TeamNeeded::Default => (
                            "DEFAULT_TEAM",
                            "make another team the default first".to_owned(),
                        ),
                        TeamNeeded::Rule(name) => {
                            ("TEAM_IN_RULE", format!("rule '{name}' chooses this team"))
                        }
                    });
                    if let Some((reason, message)) = needed {
                        return Err(ApiError::FailedPrecondition { reason, message });
                    }
                    if team_archive(tx, id, now).await? {
                        outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        self.team_get(id).await
    }
}
