//! `solmu agent offers`, `accept`, `decline` and `next`: work that agents are asked to take, or ask for.

use comfy_table::Table;
use jiff::Timestamp;
use serde::Serialize;
use solmu_client::Client;
use solmu_proto::routing::v1::{
    AcceptOfferRequest, DeclineOfferRequest, ListOffersRequest, NextTicketRequest, Offer,
};

use crate::{connect::Session, output::table, words};

/// An offer, for scripts.
#[derive(Serialize)]
struct OfferView<'a> {
    id: &'a str,
    ticket_id: &'a str,
    team_id: &'a str,
    reason: &'a str,
    expire_time: Option<Timestamp>,
}

/// What was done with an offer, for scripts.
#[derive(Serialize)]
struct Answered {
    offer_id: String,
    accepted: bool,
}

/// The next ticket, for scripts.
#[derive(Serialize)]
struct Next {
    ticket_id: String,
    reason: String,
}

pub(crate) async fn list(
    session: &Session,
    client: &Client,
    agent_id: &str,
    now: Timestamp,
) -> anyhow::Result<()> {
    let request = ListOffersRequest {
        agent_id: agent_id.to_owned(),
    };
    let answer = client.routing().list_offers(request).await;
    let offers = answer
        .map_err(|status| session.explain(status))?
        .into_inner()
        .offers;
    let views: Vec<OfferView<'_>> = offers.iter().map(view).collect();
    session
        .out
        .rows(&views, &render(&offers, now), "Nothing is offered.")
}

fn view(offer: &Offer) -> OfferView<'_> {
    OfferView {
        id: &offer.id,
        ticket_id: &offer.ticket_id,
        team_id: &offer.team_id,
        reason: &offer.reason,
        expire_time: words::time(offer.expire_time.as_ref()),
    }
}

fn render(offers: &[Offer], now: Timestamp) -> Table {
    let mut rows = table(&["Ticket", "Seconds left", "Why", "Offer"]);
    for offer in offers {
        let until = words::time(offer.expire_time.as_ref());
        rows.add_row([
            offer.ticket_id.clone(),
            until.map_or_else(
                || "-".to_owned(),
                |at| at.duration_since(now).as_secs().max(0).to_string(),
            ),
            words::short(&offer.reason, 80),
            offer.id.clone(),
        ]);
    }
    rows
}

pub(crate) async fn accept(
    session: &Session,
    client: &Client,
    agent_id: &str,
    offer_id: String,
) -> anyhow::Result<()> {
    let request = AcceptOfferRequest {
        agent_id: agent_id.to_owned(),
        offer_id: offer_id.clone(),
    };
    let answer = client.routing().accept_offer(request).await;
    answer.map_err(|status| session.explain(status))?;
    let answered = Answered {
        offer_id,
        accepted: true,
    };
    session.out.either(&answered, "It is theirs.")
}

pub(crate) async fn decline(
    session: &Session,
    client: &Client,
    agent_id: &str,
    offer_id: String,
    reason: String,
) -> anyhow::Result<()> {
    let request = DeclineOfferRequest {
        agent_id: agent_id.to_owned(),
        offer_id: offer_id.clone(),
        reason,
    };
    let answer = client.routing().decline_offer(request).await;
    answer.map_err(|status| session.explain(status))?;
    let answered = Answered {
        offer_id,
        accepted: false,
    };
    session.out.either(&answered, "It goes to somebody else.")
}

pub(crate) async fn next(
    session: &Session,
    client: &Client,
    agent_id: &str,
    team_id: String,
) -> anyhow::Result<()> {
    let request = NextTicketRequest {
        agent_id: agent_id.to_owned(),
        team_id,
        ..NextTicketRequest::default()
    };
    let answer = client.routing().next_ticket(request).await;
    let next = answer
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = if next.ticket_id.is_empty() {
        format!("There is none: {}.", next.reason)
    } else {
        format!("Ticket {}: {}.", next.ticket_id, next.reason)
    };
    let next = Next {
        ticket_id: next.ticket_id,
        reason: next.reason,
    };
    session.out.either(&next, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::flat;

    #[test]
    fn offers_are_shown_with_the_time_that_is_left() {
        let offer = |seconds| Offer {
            id: "o".to_owned(),
            ticket_id: "t".to_owned(),
            reason: "Liisa has the least load there, 3 of 10".to_owned(),
            expire_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Offer::default()
        };
        let now = Timestamp::from_second(90).unwrap();
        let text = flat(&render(&[offer(110), offer(80)], now).trim_fmt());
        assert!(
            text.contains("t 20 Liisa has the least load there, 3 of 10 o"),
            "{text}"
        );
        assert!(text.contains("t 0 Liisa"), "{text}");
    }
}
