//! What must come out of a run.

use std::collections::BTreeMap;

use solmu_proto::{
    ticket::v1::{Message, QuarantinedMessage, Ticket},
    types::v1::actor::Kind,
};

use super::{answer::Answer, board::Progress, cast, mails, report::Check, send::Sent};
use crate::words;

/// What should become of the messages; `None` where a folder decides it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) tickets: usize,
    pub(crate) filed: usize,
    pub(crate) quarantined: usize,
}

/// What the built-in mails and the other messages that were sent should become.
pub(crate) fn expected(sent: &Sent) -> Expected {
    Expected {
        tickets: mails::BUILT_IN_TICKETS + sent.others(),
        filed: mails::BUILT_IN_FILED + sent.others(),
        quarantined: mails::BUILT_IN_QUARANTINED,
    }
}

/// Messages that customers wrote.
pub(crate) fn customer_messages(messages: &BTreeMap<String, Vec<Message>>) -> usize {
    let of_customers = |message: &&Message| {
        message
            .author
            .as_ref()
            .is_some_and(|author| author.kind() == Kind::Customer)
    };
    messages.values().flatten().filter(of_customers).count()
}

/// Whether each message had exactly its effect.
pub(crate) fn check_intake(
    expected: Option<Expected>,
    progress: Progress,
    filed: usize,
    sent: &Sent,
    quarantined: &[QuarantinedMessage],
) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(expected) = expected {
        checks.push(Check::count(
            format!("{} tickets were opened", expected.tickets),
            expected.tickets,
            progress.opened,
        ));
        checks.push(Check::count(
            format!("{} messages were filed, each once", expected.filed),
            expected.filed,
            filed,
        ));
        let name = "the automatic reply opened no ticket and waits in the quarantine";
        checks.push(Check::count(name, expected.quarantined, quarantined.len()));
        let dropped = sent.messages().saturating_sub(filed + quarantined.len());
        checks.push(Check::count(
            "the mail that came twice had one effect",
            sent.repeated,
            dropped,
        ));
    } else {
        checks.push(Check::new(
            "tickets were opened",
            progress.opened > 0,
            format!("{}", progress.opened),
        ));
    }
    let name = "every ticket has an owner, with a reason, and due times";
    checks.push(Check::count(name, progress.opened, progress.ready));
    checks
}

/// Aino wrote by e-mail, in the chat and by the form, always with one address: that is one contact.
pub(crate) fn check_one_contact(
    tickets: &[Ticket],
    messages: &BTreeMap<String, Vec<Message>>,
) -> Check {
    let by_aino = |ticket: &&Ticket| {
        let first = messages
            .get(&ticket.id)
            .and_then(|messages| messages.first());
        ticket.contact_name == cast::AINO
            || first.is_some_and(|message| message.author_name == cast::AINO)
    };
    let tickets: Vec<&Ticket> = tickets.iter().filter(by_aino).collect();
    let mut contacts: Vec<&str> = tickets
        .iter()
        .map(|ticket| ticket.contact_id.as_str())
        .collect();
    contacts.sort_unstable();
    contacts.dedup();
    let ok = tickets.len() == 3 && contacts.len() == 1;
    let found = if ok {
        String::new()
    } else {
        format!("{} tickets of {} contacts", tickets.len(), contacts.len())
    };
    Check::new(
        format!("{} is one contact on three channels", cast::AINO),
        ok,
        found,
    )
}

/// Whether an answer came where it should, and the server knows.
pub(crate) fn check_answer(answer: &Answer) -> Check {
    let wanted = if answer.channel == "whatsapp" {
        "delivered"
    } else {
        "sent"
    };
    let ok = answer.arrived && (answer.delivery_state == wanted || answer.delivery_state == "read");
    let found = if ok {
        String::new()
    } else {
        let arrived = if answer.arrived {
            "it arrived"
        } else {
            "it did not arrive"
        };
        format!(
            "{arrived}, its state is '{}' {}",
            answer.delivery_state,
            words::short(&answer.delivery_error, 80)
        )
    };
    Check::new(
        format!("the answer by {} arrived, and we know it", answer.channel),
        ok,
        found,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_mails_come_out_as_expected() {
        let sent = Sent {
            email: 8,
            whatsapp: 1,
            telegram: 1,
            chat: 1,
            form: 1,
            repeated: 1,
            left_out: Vec::new(),
        };
        let expected = expected(&sent);
        assert_eq!(
            expected.filed + expected.quarantined + sent.repeated,
            sent.messages()
        );
        let progress = Progress {
            opened: expected.tickets,
            ready: expected.tickets,
            messages: expected.filed,
        };
        let waiting = [QuarantinedMessage::default()];
        let checks = check_intake(Some(expected), progress, expected.filed, &sent, &waiting);
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        let late = Progress {
            ready: 3,
            ..progress
        };
        let checks = check_intake(Some(expected), late, expected.filed + 1, &sent, &[]);
        let failed: Vec<bool> = checks.iter().map(|check| !check.ok).collect();
        // With one filed too many and none in the quarantine, the sum still says one duplicate.
        assert_eq!(failed, [false, true, true, false, true]);
    }

    #[test]
    fn one_person_on_three_channels() {
        let ticket = |id: &str, contact: &str| Ticket {
            id: id.to_owned(),
            contact_id: contact.to_owned(),
            contact_name: cast::AINO.to_owned(),
            ..Ticket::default()
        };
        let none = BTreeMap::new();
        assert!(
            check_one_contact(
                &[ticket("1", "c"), ticket("2", "c"), ticket("3", "c")],
                &none
            )
            .ok
        );
        let check = check_one_contact(
            &[ticket("1", "c"), ticket("2", "d"), ticket("3", "c")],
            &none,
        );
        assert_eq!(
            (check.ok, check.found.as_str()),
            (false, "3 tickets of 2 contacts")
        );
    }

    #[test]
    fn an_answer_must_arrive_and_be_known_to() {
        let mut answer = Answer {
            channel: "whatsapp".to_owned(),
            arrived: true,
            delivery_state: "sent".to_owned(),
            ..Answer::default()
        };
        assert!(!check_answer(&answer).ok);
        answer.delivery_state = "delivered".to_owned();
        assert!(check_answer(&answer).ok);
        answer.arrived = false;
        assert!(check_answer(&answer).found.starts_with("it did not arrive"));
    }
}
