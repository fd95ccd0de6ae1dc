//! `solmu quarantine`: messages that opened no ticket and wait, visibly, for somebody to decide, and senders whose
//! messages always do.

use clap::Subcommand;
use comfy_table::Table;
use jiff::Timestamp;
use serde::Serialize;
use solmu_client::Client;
use solmu_domain::clock::Clock;
use solmu_proto::ticket::v1::{
    BlockSenderRequest, BlockedSender, ListBlockedSendersRequest, QuarantinedMessage,
    RejectQuarantinedRequest, ReleaseQuarantinedRequest, UnblockSenderRequest,
};

use solmu_cli::parts::{QuarantinedView, Session, TicketView, quarantined, table, words};

/// Messages that opened no ticket.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// What waits, oldest first
    List {
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// What was rejected instead
        #[arg(long)]
        rejected: bool,
    },
    /// Say that a message is not wanted; it is kept for a while and can still be released
    Reject {
        /// Id of the message
        message_id: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// File a message as a ticket after all
    Release {
        /// Id of the message
        message_id: String,
    },
    /// Let every further message of a sender wait
    Block {
        /// An address, or "@domain" for everybody of a domain
        pattern: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a block; what waits stays until it is released
    Unblock {
        /// As `blocked` shows it
        pattern: String,
    },
    /// Senders whose messages wait
    Blocked {
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

pub(crate) async fn run(
    session: &Session,
    command: QuarantineCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        QuarantineCommand::List { limit, rejected } => {
            let messages = quarantined(session, &client, limit, rejected).await?;
            let views: Vec<QuarantinedView> = messages.iter().map(QuarantinedView::from).collect();
            let none = if rejected {
                "Nothing was rejected."
            } else {
                "Nothing waits in the quarantine."
            };
            session
                .out
                .rows(&views, &render(&messages, clock.now()), none)
        }
        QuarantineCommand::Reject { message_id, reason } => {
            let request = RejectQuarantinedRequest { message_id, reason };
            let rejected = client
                .tickets()
                .reject_quarantined(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            session.out.either(
                &QuarantinedView::from(&rejected),
                "It waits no more. `solmu quarantine release` files it after all.",
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
        QuarantineCommand::Block { pattern, reason } => {
            block(session, &client, pattern, reason).await
        }
        QuarantineCommand::Unblock { pattern } => unblock(session, &client, pattern).await,
        QuarantineCommand::Blocked { limit } => {
            let blocked = blocked(session, &client, limit).await?;
            let views: Vec<_> = blocked.iter().map(BlockedSenderView::from).collect();
            session.out.rows(
                &views,
                &render_blocked(&blocked, clock.now()),
                "Nobody is blocked.",
            )
        }
    }
}

async fn block(
    session: &Session,
    client: &Client,
    pattern: String,
    reason: String,
) -> anyhow::Result<()> {
    let blocked = client
        .tickets()
        .block_sender(BlockSenderRequest { pattern, reason })
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    session.out.either(
        &BlockedSenderView::from(&blocked),
        format!(
            "What comes from {} waits in the quarantine now.",
            words::short(&blocked.pattern, 80)
        ),
    )
}

async fn unblock(session: &Session, client: &Client, pattern: String) -> anyhow::Result<()> {
    let request = UnblockSenderRequest {
        pattern: pattern.clone(),
    };
    client
        .tickets()
        .unblock_sender(request)
        .await
        .map_err(|status| session.explain(status))?;
    session.out.either(
        &serde_json::json!({"pattern": pattern, "blocked": false}),
        "The block is gone. What waits stays until it is released.",
    )
}

/// Senders whose messages wait, at most `limit`.
async fn blocked(
    session: &Session,
    client: &Client,
    limit: usize,
) -> anyhow::Result<Vec<BlockedSender>> {
    let mut senders = Vec::new();
    let mut page_token = String::new();
    while senders.len() < limit {
        let page_size = i32::try_from((limit - senders.len()).min(500)).unwrap_or(500);
        let request = ListBlockedSendersRequest {
            page_size,
            page_token,
        };
        let page = client
            .tickets()
            .list_blocked_senders(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        senders.extend(page.senders);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    senders.truncate(limit);
    Ok(senders)
}

/// A sender whose messages wait in the quarantine.
#[derive(Debug, Serialize)]
struct BlockedSenderView {
    pattern: String,
    reason: String,
    created_by: String,
    create_time: Option<Timestamp>,
}

impl From<&BlockedSender> for BlockedSenderView {
    fn from(blocked: &BlockedSender) -> Self {
        Self {
            pattern: blocked.pattern.clone(),
            reason: blocked.reason.clone(),
            created_by: blocked.created_by.clone(),
            create_time: words::time(blocked.create_time.as_ref()),
        }
    }
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

fn render_blocked(senders: &[BlockedSender], now: Timestamp) -> Table {
    let mut rows = table(&["Sender", "Since", "Reason", "By"]);
    for sender in senders {
        let since = words::time(sender.create_time.as_ref());
        rows.add_row([
            words::short(&sender.pattern, 60),
            since.map_or_else(|| "-".to_owned(), |at| words::relative(now, at)),
            words::short(&sender.reason, 60),
            words::short(&sender.created_by, 40),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat;

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

    #[test]
    fn a_block_says_why() {
        let sender = BlockedSender {
            pattern: "@spam.example".to_owned(),
            reason: "advertising\u{1b}".to_owned(),
            created_by: "agent-7".to_owned(),
            create_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
        };
        let now = Timestamp::from_second(5).unwrap();
        let text = flat(&render_blocked(&[sender], now).trim_fmt());
        assert!(
            text.ends_with("@spam.example 5 s ago advertising agent-7"),
            "{text}"
        );
    }
}
