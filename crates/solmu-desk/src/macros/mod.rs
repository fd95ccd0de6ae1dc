//! Macros: what they may be made of.

pub(crate) mod apply;

use solmu_domain::ticket::Status;
use solmu_proto::{
    ticket::v1::{Macro, MacroMessage, macro_step::Step},
    types::v1::{Priority, TicketStatus},
};
use solmu_runtime::api_error::Violation;
use solmu_tickets::desk::Named;
use uuid::Uuid;

use crate::{
    items::{self, Item},
    texts::{fault_of, status_name},
};

/// Steps of a macro at most.
const MAX_STEPS: usize = 20;

impl Item for Macro {
    const KIND: i16 = 2;
    const RESOURCE: &'static str = "macro";
    const FIELD: &'static str = "macro";
    items::head!();

    fn faults(&self) -> Vec<Violation> {
        let mut faults = Vec::new();
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            faults.push(Violation::new(
                "macro.steps",
                format!("1 to {MAX_STEPS} steps"),
            ));
        }
        let replies = self
            .steps
            .iter()
            .filter(|it| matches!(it.step, Some(Step::Reply(_))));
        if replies.count() > 1 {
            faults.push(Violation::new("macro.steps", "more than one reply"));
        }
        for (index, step) in self.steps.iter().enumerate() {
            faults.extend(step_faults(
                &format!("macro.steps[{index}]"),
                step.step.as_ref(),
            ));
        }
        faults
    }

    fn named(&self) -> Vec<Named> {
        assigns(self)
    }
}

/// Whom a macro gives tickets to.
fn assigns(it: &Macro) -> Vec<Named> {
    let steps = it.steps.iter().enumerate();
    let owners = steps.filter_map(|(index, step)| match &step.step {
        Some(Step::Assign(owner)) => Some((index, owner)),
        _ => None,
    });
    let named = owners.map(|(index, owner)| {
        let field = format!("macro.steps[{index}].assign");
        items::named(&field, ("agent_id", &owner.agent_id), &owner.team_id)
    });
    named.flatten().collect()
}

/// What can be said of a step before there is a ticket; the rest shows when it is taken.
fn step_faults(field: &str, step: Option<&Step>) -> Vec<Violation> {
    let wrong = |bad: bool, why: &str| -> Vec<Violation> {
        bad.then(|| Violation::new(field, why))
            .into_iter()
            .collect()
    };
    match step {
        None => wrong(true, "says nothing"),
        Some(Step::SetStatus(code)) => wrong(status_of(*code).is_none(), "there is no such status"),
        Some(Step::SetPriority(code)) => {
            let known = Priority::try_from(*code).is_ok_and(|it| it != Priority::Unspecified);
            wrong(!known, "there is no such priority")
        }
        Some(Step::AddTag(tag) | Step::RemoveTag(tag)) => {
            wrong(tag.trim().is_empty(), "names no tag")
        }
        Some(Step::SetField(value)) => wrong(value.key.is_empty(), "names no field"),
        Some(Step::Assign(owner)) => {
            let bad = [&owner.team_id, &owner.agent_id]
                .into_iter()
                .any(|id| !id.is_empty() && Uuid::parse_str(id).is_err());
            wrong(
                bad || (owner.to_me && !owner.agent_id.is_empty()),
                "names no team or agent, or two agents",
            )
        }
        Some(Step::Reply(text) | Step::Note(text)) => message_faults(field, text),
        Some(Step::SetCategory(_)) => Vec::new(),
    }
}

/// A status from the wire; `None` if it is none.
fn status_of(code: i32) -> Option<Status> {
    let status = TicketStatus::try_from(code).ok()?;
    status_name(status).parse().ok()
}

fn message_faults(field: &str, message: &MacroMessage) -> Vec<Violation> {
    let bad_status = message.set_status != 0 && status_of(message.set_status).is_none();
    let both = message.canned_answer_id.is_empty() == message.text.is_empty();
    let bad_id =
        !message.canned_answer_id.is_empty() && Uuid::parse_str(&message.canned_answer_id).is_err();
    if both || bad_id || bad_status {
        let why = "a canned answer or a text, and a status that there is";
        return vec![Violation::new(field, why)];
    }
    if message.text.is_empty() {
        return Vec::new();
    }
    fault_of(field, &message.text)
}
