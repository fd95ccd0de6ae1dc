//! `solmu canned`: canned answers.

use clap::Subcommand;
use serde_json::{Value, json};
use solmu_cli::parts::{Session, clean, short, table};
use solmu_proto::ticket::v1::{
    CannedAnswer, CreateCannedAnswerRequest, DeleteCannedAnswerRequest, ListCannedAnswersRequest,
    RenderCannedAnswerRequest, UpdateCannedAnswerRequest,
};

use crate::{
    items::{self, Kind, PAGE, Whose, is_new, named, text},
    key, request_id,
};

/// What they are called.
pub(crate) const KIND: Kind = Kind {
    word: "canned answer",
    list: "solmu canned list",
};

/// Canned answers.
#[derive(Debug, Subcommand)]
pub enum CannedCommand {
    /// Those that you may use, by name
    List,
    /// One with its text, or as it is for a ticket
    Show {
        /// Name or id
        name: String,
        /// Filled in for this ticket: number (1001) or id
        #[arg(long)]
        ticket: Option<String>,
    },
    /// Add one
    Create {
        /// What people call it
        name: String,
        /// Its text with {{ ticket.number }}, {{ contact.name }} and so on; @FILE reads it from a file, @- from what comes in
        text: String,
        /// Language that it is written in, as fi
        #[arg(long, default_value = "")]
        language: String,
        /// Whose it is [default: everybody's]
        #[command(flatten)]
        whose: Whose,
    },
    /// Change one; what is not said stays
    Update {
        /// Name or id
        name: String,
        /// What people call it from now on
        #[arg(long)]
        rename: Option<String>,
        /// Its text, as for create
        #[arg(long)]
        text: Option<String>,
        /// Language that it is written in
        #[arg(long)]
        language: Option<String>,
        /// Whose it is
        #[command(flatten)]
        whose: Whose,
    },
    /// Remove one; a macro that names it fails from then on
    Remove {
        /// Name or id
        name: String,
    },
}

pub(crate) async fn run(session: &Session, command: CannedCommand) -> anyhow::Result<()> {
    match command {
        CannedCommand::List => list(session).await,
        CannedCommand::Show { name, ticket } => show(session, &name, ticket).await,
        CannedCommand::Create {
            name,
            text: typed,
            language,
            whose,
        } => {
            let nobodys = (String::new(), String::new());
            let (team_id, agent_id) = whose.ids(session, nobodys).await?;
            let known = all(session).await?;
            is_new(KIND, &known, owned, (&name, &team_id, &agent_id))?;
            let answer = CannedAnswer {
                name,
                text: text(&typed)?,
                language,
                team_id,
                agent_id,
                ..CannedAnswer::default()
            };
            let request = CreateCannedAnswerRequest {
                canned_answer: Some(answer),
                request_id: request_id(),
            };
            let made = session.client()?.desk().create_canned_answer(request).await;
            let made = made.map_err(|status| session.explain(status))?.into_inner();
            said(session, &made, "is added")
        }
        CannedCommand::Update {
            name,
            rename,
            text: typed,
            language,
            whose,
        } => {
            let says = rename.is_some() || typed.is_some() || language.is_some();
            anyhow::ensure!(
                says || whose.is_said(),
                "say what changes, e.g. --text @answer.txt"
            );
            let known = find(session, &name).await?;
            let whose = whose.ids(session, (known.team_id.clone(), known.agent_id.clone()));
            let (team_id, agent_id) = whose.await?;
            // With the etag that was read: what a colleague changed in between is not lost.
            let answer = CannedAnswer {
                name: rename.unwrap_or_else(|| known.name.clone()),
                text: match typed {
                    Some(typed) => text(&typed)?,
                    None => known.text.clone(),
                },
                language: language.unwrap_or_else(|| known.language.clone()),
                team_id,
                agent_id,
                ..known
            };
            let request = UpdateCannedAnswerRequest {
                canned_answer: Some(answer),
            };
            let done = session.client()?.desk().update_canned_answer(request).await;
            let done = done.map_err(|status| session.explain(status))?.into_inner();
            said(session, &done, "is changed")
        }
        CannedCommand::Remove { name } => {
            let known = find(session, &name).await?;
            let request = DeleteCannedAnswerRequest {
                id: known.id.clone(),
                etag: known.etag.clone(),
            };
            let gone = session.client()?.desk().delete_canned_answer(request).await;
            gone.map_err(|status| session.explain(status))?;
            said(session, &known, "is removed")
        }
    }
}

/// All that the caller may use.
pub(crate) async fn all(session: &Session) -> anyhow::Result<Vec<CannedAnswer>> {
    let desk = session.client()?.desk();
    items::all(session, |page_token| {
        let mut desk = desk.clone();
        let request = ListCannedAnswersRequest {
            page_size: PAGE,
            page_token,
            ..ListCannedAnswersRequest::default()
        };
        async move {
            let page = desk.list_canned_answers(request).await?.into_inner();
            Ok((page.canned_answers, page.next_page_token))
        }
    })
    .await
}

async fn find(session: &Session, meant: &str) -> anyhow::Result<CannedAnswer> {
    let answers = all(session).await?;
    Ok(named(KIND, &answers, |it| (&it.id, &it.name), meant)?.clone())
}

/// Id, name, and whose it is.
fn owned(it: &CannedAnswer) -> (&str, &str, &str, &str) {
    (&it.id, &it.name, &it.team_id, &it.agent_id)
}

fn view(it: &CannedAnswer) -> Value {
    json!({
        "id": it.id, "name": it.name, "text": it.text, "language": it.language, "team_id": it.team_id,
        "agent_id": it.agent_id,
    })
}

fn said(session: &Session, answer: &CannedAnswer, what: &str) -> anyhow::Result<()> {
    let said = format!("'{}' ({}) {what}.", short(&answer.name, 60), answer.id);
    session.out.either(&view(answer), said)
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let answers = all(session).await?;
    let mut rows = table(&["Name", "Language", "Begins", "Canned answer"]);
    for it in &answers {
        rows.add_row([
            short(&it.name, 60),
            short(&it.language, 10),
            short(&it.text, 40),
            it.id.clone(),
        ]);
    }
    let views: Vec<Value> = answers.iter().map(view).collect();
    session.out.rows(
        &views,
        &rows,
        "There are no canned answers that you may use.",
    )
}

async fn show(session: &Session, name: &str, ticket: Option<String>) -> anyhow::Result<()> {
    let known = find(session, name).await?;
    let Some(ticket) = ticket else {
        return session.out.either(&view(&known), clean(&known.text));
    };
    let request = RenderCannedAnswerRequest {
        id: known.id.clone(),
        ticket_id: key(&ticket),
    };
    let filled = session.client()?.desk().render_canned_answer(request).await;
    let text = filled
        .map_err(|status| session.explain(status))?
        .into_inner()
        .text;
    let value = json!({"id": known.id, "name": known.name, "text": text});
    session.out.either(&value, clean(&text))
}
