//! Who the agents are: asked of the router, and kept.
//!
//! The router owns the roster; here is a copy of what mail needs. It is asked for now and then and not told by events,
//! so that whatever was missed while a service was away is right again after the next question. While the router does
//! not answer, what was known holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use solmu_domain::contact::EmailAddress;
use solmu_proto::routing::v1::{
    Agent, ListAgentsRequest, routing_service_client::RoutingServiceClient,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, metadata::MetadataValue, transport::Endpoint};
use uuid::Uuid;

use crate::{config::AgentMail, context::Context, error::TicketError};

/// How long a connection and an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, in bytes: some ten thousand agents.
const MAX_ANSWER: usize = 16 << 20;

/// Why the roster is not up to date.
#[derive(Debug, thiserror::Error)]
enum RosterError {
    /// The endpoint cannot be one.
    #[error("the endpoint cannot be used")]
    Endpoint(#[source] tonic::transport::Error),
    /// The router did not answer, or refused.
    #[error("the router does not give the roster")]
    Refused(#[source] Box<Status>),
    /// It could not be stored.
    #[error("the roster cannot be stored")]
    Store(#[from] TicketError),
}

/// Keeps the copy up to date until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let config = &context.config.agent_mail;
    if config.roster_endpoint.is_empty() {
        return;
    }
    let pause = Duration::from_secs(config.roster_seconds.max(1));
    let mut said = false;
    loop {
        match refresh(&context, config).await {
            Ok(()) => said = false,
            // Said once for each time that it is away.
            Err(error) if !said => {
                said = true;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the roster of agents; what is known of it holds"
                );
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn refresh(context: &Context, config: &AgentMail) -> Result<(), RosterError> {
    let endpoint = Endpoint::from_shared(config.roster_endpoint.clone())
        .map_err(RosterError::Endpoint)?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    let mut client =
        RoutingServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(MAX_ANSWER);
    let mut request = Request::new(ListAgentsRequest::default());
    let token = config.roster_token.expose();
    if !token.is_empty()
        && let Ok(mut value) = MetadataValue::try_from(format!("Bearer {token}"))
    {
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    let answer = client.list_agents(request).await;
    let agents = answer.map_err(|status| RosterError::Refused(Box::new(status)))?;
    store(context, &agents.into_inner().agents).await?;
    Ok(())
}

/// The ids of an agent's teams in one text, as PostgreSQL reads an array: arrays of arrays must not differ in length.
fn teams_of(agent: &Agent) -> String {
    let ids = agent.team_ids.iter();
    let ids = ids.filter_map(|it| it.parse::<Uuid>().ok());
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("{{{}}}", ids.join(","))
}

/// Makes the copy say what `agents` say, in one transaction. Two that claim one address leave it to neither.
pub(crate) async fn store(context: &Context, agents: &[Agent]) -> Result<(), TicketError> {
    let usable = agents.iter().filter_map(|agent| {
        let id = Uuid::parse_str(&agent.id).ok()?;
        let address = EmailAddress::parse(&agent.email).ok()?;
        Some((
            id,
            agent.display_name.replace('\0', ""),
            address,
            teams_of(agent),
        ))
    });
    let usable: Vec<_> = usable.collect();
    let mut claims: HashMap<&str, usize> = HashMap::new();
    for (_, _, address, _) in &usable {
        *claims.entry(address.as_str()).or_default() += 1;
    }
    let known: Vec<_> = usable
        .iter()
        .filter(|(_, _, address, _)| claims.get(address.as_str()) == Some(&1))
        .collect();
    let columns = Arc::new((
        known.iter().map(|it| it.0).collect::<Vec<_>>(),
        known.iter().map(|it| it.1.clone()).collect::<Vec<_>>(),
        known
            .iter()
            .map(|it| it.2.as_str().to_owned())
            .collect::<Vec<_>>(),
        known.iter().map(|it| it.3.clone()).collect::<Vec<_>>(),
    ));
    context
        .db
        .tx("ticket.store_roster", |tx| {
            let columns = columns.clone();
            Box::pin(async move {
                let (ids, names, addresses, teams) = columns.as_ref();
                // One at a time: an address may have moved from one agent to another.
                sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tickets.agent', 0))")
                    .execute(&mut *tx)
                    .await?;
                sqlx::query(
                    "DELETE FROM tickets.agent AS known WHERE NOT EXISTS (
                        SELECT 1 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
                            AS new (id, display_name, address, teams)
                        WHERE new.id = known.id AND new.address = known.address
                            AND new.display_name = known.display_name AND new.teams::uuid[] = known.team_ids)",
                )
                .bind(ids)
                .bind(names)
                .bind(addresses)
                .bind(teams)
                .execute(&mut *tx)
                .await?;
                sqlx::query(
                    "INSERT INTO tickets.agent (id, display_name, address, team_ids)
                     SELECT id, display_name, address, teams::uuid[]
                     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
                        AS new (id, display_name, address, teams) ON CONFLICT DO NOTHING",
                )
                .bind(ids)
                .bind(names)
                .bind(addresses)
                .bind(teams)
                .execute(tx)
                .await?;
                Ok::<_, TicketError>(())
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use solmu_testkit::Harness;

    use super::*;
    use crate::config::Config;

    fn agent(id: u128, email: &str) -> Agent {
        Agent {
            id: Uuid::from_u128(id).to_string(),
            display_name: format!("Agent {id}"),
            email: email.to_owned(),
            ..Agent::default()
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_copy_says_what_the_roster_says() {
        let harness = Harness::new().await;
        let context = Context::new(&harness.runtime("a"), Config::default());
        let known = async || -> Vec<String> {
            sqlx::query_scalar(
                "SELECT display_name || ' ' || address FROM tickets.agent ORDER BY 1",
            )
            .fetch_all(context.db.pool())
            .await
            .unwrap()
        };
        let all = [
            agent(1, "A@x.example"),
            agent(2, "b@x.example"),
            agent(3, ""),
            agent(4, "c@x.example"),
            agent(5, "C@x.example"),
        ];
        store(&context, &all).await.unwrap();
        let wanted = ["Agent 1 a@x.example", "Agent 2 b@x.example"];
        assert_eq!(known().await, wanted, "an address of two is nobody's");
        store(&context, &all).await.unwrap();
        assert_eq!(known().await, wanted);
        let teams = || async {
            sqlx::query_scalar::<_, i64>("SELECT sum(cardinality(team_ids)) FROM tickets.agent")
                .fetch_one(context.db.pool())
                .await
                .unwrap()
        };
        assert_eq!(teams().await, 0);
        let mut moved = all.clone();
        moved[0].team_ids = vec![Uuid::nil().to_string(), Uuid::max().to_string()];
        store(&context, &moved).await.unwrap();
        assert_eq!((known().await.len(), teams().await), (2, 2));
        // One left, and another one took over the address.
        store(&context, &[agent(2, "a@x.example")]).await.unwrap();
        assert_eq!(known().await, ["Agent 2 a@x.example"]);
        store(&context, &[]).await.unwrap();
        assert!(known().await.is_empty());
    }
}
