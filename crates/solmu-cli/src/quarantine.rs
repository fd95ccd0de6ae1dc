//! `solmu quarantine`: messages that opened no ticket and wait, visibly, for somebody to decide.

use clap::Subcommand;
use comfy_table::Table;
use jiff::Timestamp;
use solmu_client::Client;
use solmu_domain::clock::Clock;
use solmu_proto::ticket::v1::{
    ListQuarantineRequest, QuarantinedMessage, ReleaseQuarantinedRequest,
};

use crate::{
    connect::Session,
    output::table,
    views::{QuarantinedView, TicketView},
    words,
};

/// Messages that opened no ticket.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// What waits, oldest first
    List {
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// File a message as a ticket after all
    Release {
        /// Id of the message
        message_id: String,
    },
}

pub(crate) async fn run(
    session: &Session,
    command: QuarantineCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        QuarantineCommand::List { limit } => {
            let waiting = fetch(session, &client, limit).await?;
            let views: Vec<QuarantinedView> = waiting.iter().map(QuarantinedView::from).collect();
            session.out.rows(
                &views,
                &render(&waiting, clock.now()),
                "Nothing waits in the quarantine.",
            )
        }
        QuarantineCommand::Release { message_id } => {
            let request = ReleaseQuarantinedRequest { message_id };
            let ticket = client
                .tickets()
                .release_quarantined(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            session.out.either(
                &TicketView::from(&ticket),
                format!("It is ticket #{} now.", ticket.number),
            )
        }
    }
}

/// What waits, at most `limit` messages.
pub(crate) async fn fetch(
    session: &Session,
    client: &Client,
    limit: usize,
) -> anyhow::Result<Vec<QuarantinedMessage>> {
    let mut waiting = Vec::new();
    let mut page_token = String::new();
    while waiting.len() < limit {
        let page_size = i32::try_from((limit - waiting.len()).min(500)).unwrap_or(500);
        let request = ListQuarantineRequest {
            page_size,
            page_token,
        };
        let page = client
            .tickets()
            .list_quarantine(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        waiting.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    waiting.truncate(limit);
    Ok(waiting)
}

fn render(waiting: &[QuarantinedMessage], now: Timestamp) -> Table {
    let mut rows = table(&[
        "Came",
        "Channel",
        "Sender",
        "Subject",
        "Cause",
        "Message id",
    ]);
    for message in waiting {
        let came = words::time(message.quarantine_time.as_ref());
        rows.add_row([
            came.map_or_else(|| "-".to_owned(), |at| words::relative(now, at)),
            words::channel(message.channel),
            words::short(&message.sender, 36),
            words::short(&message.subject, 44),
            words::spoken(&message.cause_code),
            message.message_id.clone(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::flat;

    #[test]
    fn the_cause_is_spoken() {
        let message = QuarantinedMessage {
            message_id: "m".to_owned(),
            channel: 1,
            sender: "a@b.example".to_owned(),
            subject: "Out of office".to_owned(),
            cause_code: "auto_reply_to_nothing_known".to_owned(),
            quarantine_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            ..QuarantinedMessage::default()
        };
        let text = flat(&render(&[message], Timestamp::from_second(5).unwrap()).trim_fmt());
        assert!(
            text.ends_with("5 s ago email a@b.example Out of office auto reply to nothing known m"),
            "{text}"
        );
    }
}
