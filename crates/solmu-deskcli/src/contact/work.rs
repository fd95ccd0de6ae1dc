//! `solmu contact merge`, `timeline`, `export` and what else is done to a contact.

use std::io::Write as _;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;
use solmu_domain::clock::Clock;
use solmu_proto::contact::v1::{
    BlockContactRequest, Contact, DismissMergeSuggestionRequest, Encounter, EraseContactRequest,
    ExportContactRequest, GetContactRequest, ListEncountersRequest, ListMergeSuggestionsRequest,
    ListMergesRequest, Merge, MergeContactsRequest, MergeSuggestion, UnblockContactRequest,
    UnmergeContactRequest,
};

use solmu_cli::parts::{ContactView, Session, table, words};

use crate::request_id;

/// What is done to a contact.
#[derive(Debug, Subcommand)]
pub enum WorkCommand {
    /// Make one contact of two; taken back with unmerge
    Merge {
        /// Id of the contact that stands for both
        contact: String,
        /// Id of the other one
        other: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take a merge back
    Unmerge {
        /// Its id, as merges shows it
        merge: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// The merges that a contact is made of, and those that were taken back
    Merges {
        /// Id of the contact
        id: String,
    },
    /// Pairs that may be one person
    Suggestions {
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: i32,
    },
    /// Say that two contacts are two people
    Dismiss {
        /// Id of one
        first: String,
        /// Id of the other
        second: String,
    },
    /// What a contact wrote, over all channels
    Timeline {
        /// Id of the contact
        id: String,
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: i32,
    },
    /// Let what a contact writes wait in the quarantine
    Block {
        /// Id of the contact
        id: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a block
    Unblock {
        /// Id of the contact
        id: String,
    },
    /// Everything that is kept of a contact, one JSON object a line (role admin)
    Export {
        /// Id of the contact
        id: String,
    },
    /// Remove everything personal of a contact; it cannot be taken back (role admin)
    Erase {
        /// Id of the contact
        id: String,
        /// Its display name, so that nobody is erased by a slip
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
}

/// Runs a command.
pub(crate) async fn run(
    session: &Session,
    command: WorkCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let mut service = session.client()?.contacts();
    let contact = match command {
        WorkCommand::Merge {
            contact,
            other,
            reason,
        } => {
            let request = MergeContactsRequest {
                contact_id: contact,
                merged_contact_id: other,
                reason,
                ..MergeContactsRequest::default()
            };
            service.merge_contacts(request).await
        }
        WorkCommand::Unmerge { merge, reason } => {
            let request = UnmergeContactRequest {
                merge_id: merge,
                reason,
                request_id: request_id(),
            };
            let sides = service
                .unmerge_contact(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            for side in [sides.contact, sides.unmerged_contact]
                .into_iter()
                .flatten()
            {
                shown(session, &side)?;
            }
            return Ok(());
        }
        WorkCommand::Block { id, reason } => {
            let request = BlockContactRequest {
                contact_id: id,
                reason,
                request_id: request_id(),
            };
            service.block_contact(request).await
        }
        WorkCommand::Unblock { id } => {
            let request = UnblockContactRequest {
                contact_id: id,
                request_id: request_id(),
            };
            service.unblock_contact(request).await
        }
        WorkCommand::Dismiss { first, second } => {
            let request = DismissMergeSuggestionRequest {
                first_contact_id: first.clone(),
                second_contact_id: second,
                request_id: request_id(),
            };
            service
                .dismiss_merge_suggestion(request)
                .await
                .map_err(|status| session.explain(status))?;
            service.get_contact(GetContactRequest { id: first }).await
        }
        other => return read(session, other, clock).await,
    };
    let contact = contact
        .map_err(|status| session.explain(status))?
        .into_inner();
    shown(session, &contact)
}

fn shown(session: &Session, contact: &Contact) -> anyhow::Result<()> {
    session.out.object(&ContactView::from(contact))?;
    let also = match contact.merged_contact_ids.len() {
        0 => String::new(),
        others => format!(", stands for {others} more"),
    };
    let blocked = if contact.block_time.is_some() {
        ", blocked"
    } else {
        ""
    };
    session.out.line(format!(
        "{} ({}{also}{blocked})",
        words::short(&contact.display_name, 80),
        contact.id
    ))
}

async fn read(session: &Session, command: WorkCommand, clock: &dyn Clock) -> anyhow::Result<()> {
    let now = clock.now();
    match command {
        WorkCommand::Merges { id } => merges(session, id, now).await,
        WorkCommand::Suggestions { limit } => suggestions(session, limit).await,
        WorkCommand::Timeline { id, limit } => timeline(session, id, limit, now).await,
        WorkCommand::Export { id } => export(session, id).await,
        WorkCommand::Erase { id, confirm } => erase(session, id, confirm).await,
        WorkCommand::Merge { .. }
        | WorkCommand::Unmerge { .. }
        | WorkCommand::Dismiss { .. }
        | WorkCommand::Block { .. }
        | WorkCommand::Unblock { .. } => Ok(()),
    }
}

async fn merges(session: &Session, id: String, now: Timestamp) -> anyhow::Result<()> {
    let request = ListMergesRequest {
        contact_id: id,
        ..ListMergesRequest::default()
    };
    let found = session.client()?.contacts().list_merges(request).await;
    let found = found
        .map_err(|status| session.explain(status))?
        .into_inner();
    let views: Vec<MergeView> = found.merges.iter().map(MergeView::from).collect();
    let mut rows = table(&[
        "Merged",
        "Rule",
        "Evidence",
        "Contact",
        "Other",
        "Taken back",
        "Id",
    ]);
    for it in &views {
        rows.add_row([
            since(it.merge_time, now),
            it.rule.clone(),
            words::short(&it.evidence, 40),
            it.contact_id.clone(),
            it.merged_contact_id.clone(),
            since(it.unmerge_time, now),
            it.id.clone(),
        ]);
    }
    session
        .out
        .rows(&views, &rows, "This contact was never merged.")
}

async fn suggestions(session: &Session, limit: i32) -> anyhow::Result<()> {
    let request = ListMergeSuggestionsRequest {
        page_size: limit,
        ..ListMergeSuggestionsRequest::default()
    };
    let found = session
        .client()?
        .contacts()
        .list_merge_suggestions(request)
        .await;
    let found = found
        .map_err(|status| session.explain(status))?
        .into_inner();
    let views: Vec<SuggestionView> = found.suggestions.iter().map(SuggestionView::from).collect();
    let mut rows = table(&["Reason", "Share", "One", "Other"]);
    for it in &views {
        rows.add_row([
            words::spoken(&it.reason),
            format!(
                "{} {}",
                words::spoken(&it.kind),
                words::short(&it.value, 50)
            ),
            it.first_contact_id.clone(),
            it.second_contact_id.clone(),
        ]);
    }
    session.out.rows(&views, &rows, "Nothing is to be decided.")
}

async fn timeline(session: &Session, id: String, limit: i32, now: Timestamp) -> anyhow::Result<()> {
    let request = ListEncountersRequest {
        contact_id: id,
        page_size: limit,
        ..ListEncountersRequest::default()
    };
    let found = session.client()?.contacts().list_encounters(request).await;
    let found = found
        .map_err(|status| session.explain(status))?
        .into_inner();
    let views: Vec<EncounterView> = found.encounters.iter().map(EncounterView::from).collect();
    let mut rows = table(&["When", "Channel", "Ticket", "Said"]);
    for it in &views {
        rows.add_row([
            since(it.create_time, now),
            it.channel.clone(),
            format!("#{}", it.ticket_number),
            words::short(&it.snippet, 60),
        ]);
    }
    session.out.rows(&views, &rows, "They wrote nothing.")
}

async fn export(session: &Session, id: String) -> anyhow::Result<()> {
    let request = ExportContactRequest { contact_id: id };
    let stream = session.client()?.contacts().export_contact(request).await;
    let mut stream = stream
        .map_err(|status| session.explain(status))?
        .into_inner();
    let mut out = std::io::stdout();
    while let Some(part) = stream
        .message()
        .await
        .map_err(|status| session.explain(status))?
    {
        out.write_all(part.line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

async fn erase(session: &Session, id: String, confirm: String) -> anyhow::Result<()> {
    let request = EraseContactRequest {
        contact_id: id,
        confirm_display_name: confirm,
    };
    let erased = session.client()?.contacts().erase_contact(request).await;
    let erased = erased
        .map_err(|status| session.explain(status))?
        .into_inner();
    session.out.line(format!(
        "Erased: contacts {}, messages {}, files and originals {}",
        erased.contact_ids.len(),
        erased.messages,
        erased.objects
    ))
}

fn since(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| words::relative(now, at))
}

/// A merge.
#[derive(Debug, Serialize)]
struct MergeView {
    id: String,
    contact_id: String,
    merged_contact_id: String,
    rule: String,
    evidence: String,
    reason: String,
    merge_time: Option<Timestamp>,
    unmerge_time: Option<Timestamp>,
    unmerge_reason: String,
}

impl From<&Merge> for MergeView {
    fn from(merge: &Merge) -> Self {
        Self {
            id: merge.id.clone(),
            contact_id: merge.contact_id.clone(),
            merged_contact_id: merge.merged_contact_id.clone(),
            rule: merge.rule.clone(),
            evidence: merge.evidence.clone(),
            reason: merge.reason.clone(),
            merge_time: words::time(merge.merge_time.as_ref()),
            unmerge_time: words::time(merge.unmerge_time.as_ref()),
            unmerge_reason: merge.unmerge_reason.clone(),
        }
    }
}

/// A pair that may be one person.
#[derive(Debug, Serialize)]
struct SuggestionView {
    first_contact_id: String,
    second_contact_id: String,
    reason: String,
    kind: String,
    value: String,
}

impl From<&MergeSuggestion> for SuggestionView {
    fn from(it: &MergeSuggestion) -> Self {
        Self {
            first_contact_id: it.first_contact_id.clone(),
            second_contact_id: it.second_contact_id.clone(),
            reason: it.reason.clone(),
            kind: words::identity(it.kind),
            value: it.value.clone(),
        }
    }
}

/// A message of a contact.
#[derive(Debug, Serialize)]
struct EncounterView {
    message_id: String,
    ticket_id: String,
    ticket_number: i64,
    channel: String,
    contact_id: String,
    subject: String,
    snippet: String,
    create_time: Option<Timestamp>,
}

impl From<&Encounter> for EncounterView {
    fn from(it: &Encounter) -> Self {
        Self {
            message_id: it.message_id.clone(),
            ticket_id: it.ticket_id.clone(),
            ticket_number: it.ticket_number,
            channel: words::channel(it.channel),
            contact_id: it.contact_id.clone(),
            subject: it.subject.clone(),
            snippet: it.snippet.clone(),
            create_time: words::time(it.create_time.as_ref()),
        }
    }
}
