//! What agents are asked to take, what they say, and the next ticket on request.
//!
//! A replica only notes what an agent says; the leader hears of it and decides. So it does not matter which replica is
//! asked, and an answer that crosses the end of its offer is either in time or refused.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use solmu_db::outbox::{self, Owner};
use solmu_domain::ids::{AgentId, DecisionId, TeamId, TicketId};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{
    ApiError,
    calls::{request_id, reused},
};
use tonic::Status;

use super::{Resource, Service, parse};
use crate::{
    core::offers::Pull,
    store::offer::{offer_answer, offers_of, pull_ask, pull_give_up, pull_take_answer},
};

/// What [`proto`] calls the answers of `WatchOffers`.
pub(super) type Changes =
    Pin<Box<dyn Stream<Item = Result<proto::WatchOffersResponse, Status>> + Send>>;

/// Characters of the reason of a declined offer at most.
const REASON_MAX: usize = 200;
/// How often a stream looks for changes.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often somebody who asked for the next ticket looks for the answer.
const PULL_EVERY: Duration = Duration::from_millis(20);
/// Looks before they give up: with [`PULL_EVERY`], ten seconds, more than a failover takes.
const PULL_LOOKS: u32 = 500;

impl Service {
    pub(super) async fn offer_list(&self, agent: AgentId) -> Result<Vec<proto::Offer>, ApiError> {
        let rows = offers_of(self.db.pool(), agent, self.clock.now()).await?;
        Ok(rows.into_iter().map(proto::Offer::from).collect())
    }

    /// What is offered, at once and after each change, until the process drains.
    pub(super) fn offer_watch(&self, agent: AgentId) -> Changes {
        let service = self.clone();
        let changes = stream::unfold(Some(None), move |told: Option<Option<Vec<_>>>| {
            let service = service.clone();
            async move {
                let told = told?;
                loop {
                    let offers = match service.offer_list(agent).await {
                        Ok(offers) => offers,
                        Err(error) => return Some((Err(error.into()), None)),
                    };
                    if told.as_ref() != Some(&offers) {
                        let answer = proto::WatchOffersResponse {
                            offers: offers.clone(),
                        };
                        return Some((Ok(answer), Some(Some(offers))));
                    }
                    tokio::select! {
                        () = service.drain.cancelled() => return None,
                        () = tokio::time::sleep(WATCH_EVERY) => {}
                    }
                }
            }
        });
        Box::pin(changes)
    }

    /// Accepts an offer, or declines it if there is a reason, be it empty.
    pub(super) async fn offer_answer(
        &self,
        agent: AgentId,
        offer_id: &str,
        declines: Option<&str>,
    ) -> Result<(), ApiError> {
        let offer: DecisionId = parse::id("offer_id", offer_id)?;
        let reason = declines.unwrap_or_default().trim().to_owned();
        if reason.chars().count() > REASON_MAX || reason.contains(char::is_control) {
            let wanted = format!("at most {REASON_MAX} characters and no control characters");
            return Err(ApiError::invalid("reason", wanted));
        }
        let (event, now) = (self.changed(Resource::Offer, &offer), self.clock.now());
        let (accepts, done) = match declines {
            None => (true, ["accepting", "accepted"]),
            Some(_) => (false, ["declining", "declined"]),
        };
        let before = self
            .db
            .tx("routing.answer_offer", |tx| {
                let (event, reason) = (event.clone(), reason.clone());
                Box::pin(async move {
                    let before = offer_answer(tx, offer, agent, accepts, &reason, now).await?;
                    if before.as_deref() == Some("open") {
                        outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    }
                    Ok::<_, ApiError>(before)
                })
            })
            .await?;
        let before = before.ok_or_else(|| ApiError::not_found("offer", &offer))?;
        if before == "open" {
            self.nudge.notify_one();
        } else if !done.contains(&before.as_str()) {
            return Err(ApiError::FailedPrecondition {
                reason: "OFFER_ENDED",
                message: format!("the offer has ended: {}", before.replace('_', " ")),
            });
        }
        Ok(())
    }

    /// Asks the leader for the next ticket of an agent, and waits for what it says. Under a request id that they used, what
    /// it said, or says, then.
    pub(super) async fn pull(
        &self,
        agent: AgentId,
        request: &proto::NextTicketRequest,
    ) -> Result<proto::NextTicketResponse, ApiError> {
        let team: Option<TeamId> = match request.team_id.as_str() {
            "" => None,
            text => Some(parse::id("team_id", text)?),
        };
        let request_id = request_id(&request.request_id)?;
        let id = DecisionId::generate(self.clock.as_ref(), self.rng.as_ref()).as_uuid();
        let pull = Pull { id, agent, team };
        let (event, now) = (self.changed(Resource::Pull, &id), self.clock.now());
        let keeps = request_id.is_some();
        let known = self
            .db
            .tx("routing.next_ticket", |tx| {
                let (event, request_id) = (event.clone(), request_id.clone());
                Box::pin(async move {
                    let known = pull_ask(tx, &pull, request_id.as_deref(), now).await?;
                    if known.id == id {
                        outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    }
                    Ok::<_, ApiError>(known)
                })
            })
            .await?;
        if known.team != team {
            return Err(reused());
        }
        let id = known.id;
        self.nudge.notify_one();
        let answer = |(ticket, reason): (Option<TicketId>, String)| proto::NextTicketResponse {
            ticket_id: ticket.map(|id| id.to_string()).unwrap_or_default(),
            reason,
        };
        for _ in 0..PULL_LOOKS {
            if let Some(told) = pull_take_answer(self.db.pool(), id, keeps).await? {
                return Ok(answer(told));
            }
            tokio::time::sleep(PULL_EVERY).await;
        }
        if pull_give_up(self.db.pool(), id).await? {
            return Err(ApiError::Unavailable("nobody decides at the moment".into()));
        }
        // The answer came at the last moment.
        let told = pull_take_answer(self.db.pool(), id, keeps).await?;
        // The same request, made twice at once, has given up.
        told.map(answer)
            .ok_or_else(|| ApiError::Unavailable("nobody decides at the moment".into()))
    }
}
