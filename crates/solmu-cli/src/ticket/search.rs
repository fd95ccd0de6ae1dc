//! `solmu ticket search`.

use comfy_table::Table;
use jiff::Timestamp;
use serde::Serialize;
use solmu_proto::ticket::v1::{SearchHit, SearchTicketsRequest};

use crate::{connect::Session, output::table, views::TicketView, words};

/// Pages that are asked for at most: a filter that fits nearly nothing makes them empty.
const MAX_PAGES: usize = 20;

/// What is searched for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: String,
    pub(super) filter: String,
    pub(super) zone: String,
}

/// A hit, for programs.
#[derive(Debug, Serialize)]
struct HitView {
    ticket: Option<TicketView>,
    message_id: String,
    snippet: String,
    hit_time: Option<Timestamp>,
}

impl From<&SearchHit> for HitView {
    fn from(hit: &SearchHit) -> Self {
        Self {
            ticket: hit.ticket.as_ref().map(TicketView::from),
            message_id: hit.message_id.clone(),
            snippet: hit.snippet.clone(),
            hit_time: words::time(hit.hit_time.as_ref()),
        }
    }
}

pub(super) async fn run(session: &Session, asked: Asked, limit: usize) -> anyhow::Result<()> {
    let client = session.client()?;
    let (mut hits, mut back_to) = (Vec::new(), None);
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        let request = SearchTicketsRequest {
            query: asked.query.clone(),
            filter: asked.filter.clone(),
            time_zone: asked.zone.clone(),
            page_size: i32::try_from((limit - hits.len()).min(50)).unwrap_or(50),
            page_token,
        };
        let page = client
            .search()
            .search_tickets(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        hits.extend(page.hits);
        back_to = page.searched_back_to;
        page_token = page.next_page_token;
        if page_token.is_empty() || hits.len() >= limit {
            break;
        }
    }
    let views: Vec<HitView> = hits.iter().map(HitView::from).collect();
    session
        .out
        .rows(&views, &render(&hits), "Nothing was found.")?;
    if let Some(back_to) = words::time(back_to.as_ref()) {
        session.out.progress(format!(
            "Searched back to {back_to}; there may be older ones."
        ));
    }
    Ok(())
}

fn render(hits: &[SearchHit]) -> Table {
    let mut rows = table(&["Number", "When", "Status", "Contact", "Text"]);
    for hit in hits {
        let ticket = hit.ticket.clone().unwrap_or_default();
        let when = words::time(hit.hit_time.as_ref());
        rows.add_row([
            format!("#{}", ticket.number),
            when.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string())
                .unwrap_or_default(),
            words::spoken(&words::status(ticket.status)),
            words::short(&ticket.contact_name, 24),
            words::short(&hit.snippet, 80),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use solmu_proto::ticket::v1::Ticket;

    use super::*;
    use crate::output::flat;

    #[test]
    fn a_hit_is_a_line() {
        let hit = SearchHit {
            ticket: Some(Ticket {
                number: 1001,
                status: 2,
                contact_name: "Aino".to_owned(),
                ..Ticket::default()
            }),
            snippet: "… tilaus \u{1b}[31mon myöhässä".to_owned(),
            hit_time: Some(prost_types::Timestamp {
                seconds: 1_777_000_000,
                nanos: 0,
            }),
            ..SearchHit::default()
        };
        let text = flat(&render(&[hit]).trim_fmt());
        assert_eq!(
            text.lines().nth(2),
            Some("#1001 2026-04-24 03:06 open Aino … tilaus [31mon myöhässä")
        );
    }
}
