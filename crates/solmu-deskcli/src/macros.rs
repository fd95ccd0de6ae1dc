//! `solmu macro`: several changes and an answer in one.

use anyhow::{Context as _, anyhow, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use solmu_cli::{
    PriorityArg, StatusArg,
    parts::{Roster, Session, clean, short, table},
};
use solmu_proto::{
    ticket::v1::{
        ApplyMacroRequest, CreateMacroRequest, DeleteMacroRequest, FieldValue, ListMacrosRequest,
        Macro, MacroMessage, MacroOwner, MacroStep, UpdateMacroRequest, macro_step::Step,
    },
    types::v1::{Priority, TicketStatus},
};

use crate::{
    canned,
    items::{self, Kind, PAGE, Whose, is_new, named, text},
    key, request_id,
};

/// What they are called.
const KIND: Kind = Kind {
    word: "macro",
    list: "solmu macro list",
};

/// Macros.
#[derive(Debug, Subcommand)]
pub enum MacroCommand {
    /// Those that you may use, by name
    List,
    /// One with its steps
    Show {
        /// Name or id
        name: String,
    },
    /// Take all steps of a macro on a ticket, or none
    Apply {
        /// Name or id of the macro
        name: String,
        /// Number (1001) or id
        ticket: String,
        /// Send its answer although mail to the customer's address came back
        #[arg(long)]
        force: bool,
    },
    /// Add one
    Create {
        /// What people call it
        name: String,
        /// A step, in order: status=resolved, priority=high, category=a/b, tag=x, untag=x, field=KEY=VALUE, assign=me|nobody|AGENT,
        /// team=TEAM, reply=TEXT, note=TEXT, canned=NAME; @FILE as a text reads it from a file
        #[arg(required = true, num_args = 1..)]
        steps: Vec<String>,
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
        /// Its steps from now on, as for create
        steps: Vec<String>,
        /// Whose it is
        #[command(flatten)]
        whose: Whose,
    },
    /// Remove one
    Remove {
        /// Name or id
        name: String,
    },
}

pub(crate) async fn run(session: &Session, command: MacroCommand) -> anyhow::Result<()> {
    match command {
        MacroCommand::List => list(session).await,
        MacroCommand::Show { name } => {
            let known = find(session, &name).await?;
            let steps = known.steps.iter();
            let steps: Vec<String> = steps.map(|it| clean(&said_step(it))).collect();
            session.out.either(&view(&known), steps.join("\n"))
        }
        MacroCommand::Apply {
            name,
            ticket,
            force,
        } => apply(session, &name, &ticket, force).await,
        MacroCommand::Create { name, steps, whose } => {
            let nobodys = (String::new(), String::new());
            let (team_id, agent_id) = whose.ids(session, nobodys).await?;
            let known = all(session).await?;
            is_new(KIND, &known, owned, (&name, &team_id, &agent_id))?;
            let wanted = Macro {
                name,
                steps: read_steps(session, &steps).await?,
                team_id,
                agent_id,
                ..Macro::default()
            };
            let request = CreateMacroRequest {
                r#macro: Some(wanted),
                request_id: request_id(),
            };
            let made = session.client()?.desk().create_macro(request).await;
            let made = made.map_err(|status| session.explain(status))?.into_inner();
            said(session, &made, "is added")
        }
        MacroCommand::Update {
            name,
            rename,
            steps,
            whose,
        } => {
            anyhow::ensure!(
                rename.is_some() || !steps.is_empty() || whose.is_said(),
                "say what changes, e.g. --rename 'Refund and close'"
            );
            let known = find(session, &name).await?;
            let whose = whose.ids(session, (known.team_id.clone(), known.agent_id.clone()));
            let (team_id, agent_id) = whose.await?;
            let steps = match steps.as_slice() {
                [] => known.steps.clone(),
                steps => read_steps(session, steps).await?,
            };
            // With the etag that was read: what a colleague changed in between is not lost.
            let wanted = Macro {
                name: rename.unwrap_or_else(|| known.name.clone()),
                steps,
                team_id,
                agent_id,
                ..known
            };
            let request = UpdateMacroRequest {
                r#macro: Some(wanted),
            };
            let done = session.client()?.desk().update_macro(request).await;
            let done = done.map_err(|status| session.explain(status))?.into_inner();
            said(session, &done, "is changed")
        }
        MacroCommand::Remove { name } => {
            let known = find(session, &name).await?;
            let request = DeleteMacroRequest {
                id: known.id.clone(),
                etag: known.etag.clone(),
            };
            let gone = session.client()?.desk().delete_macro(request).await;
            gone.map_err(|status| session.explain(status))?;
            said(session, &known, "is removed")
        }
    }
}

async fn all(session: &Session) -> anyhow::Result<Vec<Macro>> {
    let desk = session.client()?.desk();
    items::all(session, |page_token| {
        let mut desk = desk.clone();
        let request = ListMacrosRequest {
            page_size: PAGE,
            page_token,
            ..ListMacrosRequest::default()
        };
        async move {
            let page = desk.list_macros(request).await?.into_inner();
            Ok((page.macros, page.next_page_token))
        }
    })
    .await
}

async fn find(session: &Session, meant: &str) -> anyhow::Result<Macro> {
    let macros = all(session).await?;
    Ok(named(KIND, &macros, |it| (&it.id, &it.name), meant)?.clone())
}

fn said(session: &Session, it: &Macro, what: &str) -> anyhow::Result<()> {
    let said = format!("'{}' ({}) {what}.", short(&it.name, 60), it.id);
    session.out.either(&view(it), said)
}

/// Id, name, and whose it is.
fn owned(it: &Macro) -> (&str, &str, &str, &str) {
    (&it.id, &it.name, &it.team_id, &it.agent_id)
}

fn view(it: &Macro) -> Value {
    let steps: Vec<String> = it.steps.iter().map(said_step).collect();
    json!({"id": it.id, "name": it.name, "steps": steps, "team_id": it.team_id, "agent_id": it.agent_id})
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let macros = all(session).await?;
    let mut rows = table(&["Name", "Steps", "Macro"]);
    for it in &macros {
        rows.add_row([
            short(&it.name, 60),
            it.steps.len().to_string(),
            it.id.clone(),
        ]);
    }
    let views: Vec<Value> = macros.iter().map(view).collect();
    session
        .out
        .rows(&views, &rows, "There are no macros that you may use.")
}

async fn apply(session: &Session, name: &str, ticket: &str, force: bool) -> anyhow::Result<()> {
    let found = find(session, name).await?;
    let request = ApplyMacroRequest {
        macro_id: found.id,
        ticket_id: key(ticket),
        request_id: request_id(),
        force,
        ..ApplyMacroRequest::default()
    };
    let done = session.client()?.desk().apply_macro(request).await;
    let done = done.map_err(|status| session.explain(status))?.into_inner();
    let number = done.ticket.map_or(0, |ticket| ticket.number);
    let written = match done.message_ids.len() {
        0 => "nothing",
        1 => "a message",
        _ => "messages",
    };
    let value = json!({"ticket_number": number, "message_ids": done.message_ids});
    let said = format!("#{number}: all steps taken, {written} written.");
    session.out.either(&value, said)
}

/// Steps as they are typed. Names of agents, teams and canned answers become their ids.
async fn read_steps(session: &Session, typed: &[String]) -> anyhow::Result<Vec<MacroStep>> {
    let named = |what: &[&str]| {
        let is = |step: &String| what.iter().any(|it| step.starts_with(it));
        typed.iter().any(is)
    };
    let roster = if named(&["assign=", "team="]) {
        Some(Roster::fetch(session, &session.client()?).await?)
    } else {
        None
    };
    let answers = if named(&["canned="]) {
        canned::all(session).await?
    } else {
        Vec::new()
    };
    let id_of = |kind: &str, meant: &str| -> anyhow::Result<String> {
        let none = || anyhow!("there is no {kind} '{meant}'");
        match kind {
            "canned" => {
                let found = named_answer(&answers, meant)?;
                Ok(found.to_owned())
            }
            "team" => Ok(roster.as_ref().ok_or_else(none)?.team(meant)?.id.clone()),
            _ => Ok(roster.as_ref().ok_or_else(none)?.agent(meant)?.id.clone()),
        }
    };
    let steps = typed.iter().map(|step| read_step(step, &id_of));
    steps.collect()
}

fn named_answer<'a>(
    answers: &'a [solmu_proto::ticket::v1::CannedAnswer],
    meant: &str,
) -> anyhow::Result<&'a str> {
    Ok(&named(canned::KIND, answers, |it| (&it.id, &it.name), meant)?.id)
}

/// One of the words that a kind of step takes.
fn one_of<V: ValueEnum>(typed: &str) -> anyhow::Result<V> {
    V::from_str(typed, true).map_err(|_| {
        let words = V::value_variants().iter().filter_map(V::to_possible_value);
        let words: Vec<String> = words.map(|it| it.get_name().to_owned()).collect();
        anyhow!("'{typed}' is none of {}", words.join(", "))
    })
}

/// One step. `id_of` says whom or what a name means.
fn read_step(
    typed: &str,
    id_of: &impl Fn(&str, &str) -> anyhow::Result<String>,
) -> anyhow::Result<MacroStep> {
    let (word, value) = typed
        .split_once('=')
        .with_context(|| format!("'{typed}' is no step: write status=resolved or the like"))?;
    let written = |value: &str| -> anyhow::Result<MacroMessage> {
        Ok(MacroMessage {
            text: text(value)?,
            ..MacroMessage::default()
        })
    };
    let step = match word {
        "status" => {
            let status: StatusArg = one_of(value)?;
            Step::SetStatus(TicketStatus::from(status).into())
        }
        "priority" => {
            let priority: PriorityArg = one_of(value)?;
            Step::SetPriority(Priority::from(priority).into())
        }
        "category" => Step::SetCategory(value.to_owned()),
        "tag" => Step::AddTag(value.to_owned()),
        "untag" => Step::RemoveTag(value.to_owned()),
        "field" => {
            let (key, value) = value
                .split_once('=')
                .with_context(|| format!("'{typed}' names no value: write field=KEY=VALUE"))?;
            let values = Some(value.to_owned()).filter(|it| !it.is_empty());
            Step::SetField(FieldValue {
                key: key.to_owned(),
                values: values.into_iter().collect(),
            })
        }
        "assign" => Step::Assign(match value {
            "me" => MacroOwner {
                to_me: true,
                ..MacroOwner::default()
            },
            "nobody" => MacroOwner::default(),
            agent => MacroOwner {
                agent_id: id_of("agent", agent)?,
                ..MacroOwner::default()
            },
        }),
        "team" => Step::Assign(MacroOwner {
            team_id: id_of("team", value)?,
            ..MacroOwner::default()
        }),
        "reply" => Step::Reply(written(value)?),
        "note" => Step::Note(written(value)?),
        "canned" => Step::Reply(MacroMessage {
            canned_answer_id: id_of("canned", value)?,
            ..MacroMessage::default()
        }),
        _ => bail!("there is no step '{word}': see solmu macro create --help"),
    };
    Ok(MacroStep { step: Some(step) })
}

/// A step as it would be typed, with ids for names.
fn said_step(step: &MacroStep) -> String {
    let message = |word: &str, it: &MacroMessage| {
        if it.canned_answer_id.is_empty() {
            format!("{word}={}", it.text)
        } else {
            format!("canned={}", it.canned_answer_id)
        }
    };
    let lower = |name: &str, prefix: &str| {
        let word = name.trim_start_matches(prefix).to_lowercase();
        word.replace('_', "-")
    };
    match &step.step {
        None => String::new(),
        Some(Step::SetStatus(status)) => {
            let status = TicketStatus::try_from(*status).unwrap_or_default();
            format!("status={}", lower(status.as_str_name(), "TICKET_STATUS_"))
        }
        Some(Step::SetPriority(priority)) => {
            let priority = Priority::try_from(*priority).unwrap_or_default();
            format!("priority={}", lower(priority.as_str_name(), "PRIORITY_"))
        }
        Some(Step::SetCategory(category)) => format!("category={category}"),
        Some(Step::AddTag(tag)) => format!("tag={tag}"),
        Some(Step::RemoveTag(tag)) => format!("untag={tag}"),
        Some(Step::SetField(field)) => {
            format!("field={}={}", field.key, field.values.join(","))
        }
        Some(Step::Assign(owner)) if owner.to_me => "assign=me".to_owned(),
        Some(Step::Assign(owner)) if !owner.agent_id.is_empty() => {
            format!("assign={}", owner.agent_id)
        }
        Some(Step::Assign(owner)) if !owner.team_id.is_empty() => {
            format!("team={}", owner.team_id)
        }
        Some(Step::Assign(_)) => "assign=nobody".to_owned(),
        Some(Step::Reply(it)) => message("reply", it),
        Some(Step::Note(it)) => message("note", it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &str) -> anyhow::Result<MacroStep> {
        let id_of = |kind: &str, meant: &str| match meant {
            "Liisa" | "Tier 2" | "Thanks" => Ok(format!("id of {kind} {meant}")),
            _ => bail!("there is no {kind} '{meant}'"),
        };
        read_step(typed, &id_of)
    }

    #[test]
    fn steps_are_read_and_said_again() {
        for (typed, said) in [
            ("status=waiting-on-customer", "status=waiting-on-customer"),
            ("priority=HIGH", "priority=high"),
            ("category=billing/refund", "category=billing/refund"),
            ("tag=vip", "tag=vip"),
            ("untag=vip", "untag=vip"),
            ("field=order_no=A-1=2", "field=order_no=A-1=2"),
            ("field=order_no=", "field=order_no="),
            ("assign=me", "assign=me"),
            ("assign=nobody", "assign=nobody"),
            ("assign=Liisa", "assign=id of agent Liisa"),
            ("team=Tier 2", "team=id of team Tier 2"),
            (
                "reply=Hei {{ contact.name }}",
                "reply=Hei {{ contact.name }}",
            ),
            ("note=seen", "note=seen"),
            ("canned=Thanks", "canned=id of canned Thanks"),
        ] {
            assert_eq!(said_step(&read(typed).unwrap()), said, "{typed}");
        }
        for bad in [
            "status",
            "status=gone",
            "priority=none",
            "field=x",
            "assign=Nobody Else",
            "do=it",
            "reply=@/nowhere/at/all",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let gone = read("status=gone").unwrap_err().to_string();
        assert!(
            gone.starts_with("'gone' is none of open, waiting-on-customer,"),
            "{gone}"
        );
        // Nothing of a long text is lost.
        let long = format!("reply={}", "word\n".repeat(100));
        assert_eq!(said_step(&read(long.trim_end()).unwrap()), long.trim_end());
        let emptied = read("field=order_no=").unwrap();
        let none = FieldValue {
            key: "order_no".to_owned(),
            values: Vec::new(),
        };
        assert_eq!(emptied.step, Some(Step::SetField(none)));
    }
}
