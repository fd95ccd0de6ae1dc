//! An event of a ticket of each type with every field filled.

use solmu_proto::{
    ticket::v1::{self as ticket, assignment_rejected},
    types::v1::{AutomaticClass, Channel, DeliveryState, Priority, TicketStatus},
};

use crate::samples::{actor, at, id};

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
fn state() -> Option<ticket::TicketState> {
    Some(ticket::TicketState {
        ticket_id: id(1),
        number: 1_234,
        contact_id: id(2),
        channel: Channel::Whatsapp.into(),
        account: "main".to_owned(),
        status: TicketStatus::CustomerReplied.into(),
        priority: Priority::High.into(),
        team_id: id(6),
        assignee_id: id(3),
        tags: vec!["vip".to_owned(), "billing".to_owned()],
        language: "fi".to_owned(),
        version: 7,
        routing_version: 4,
        create_time: at(0),
        recipient: "support@solmu.example".to_owned(),
        next_due_time: at(3_600),
        category: "billing/refund".to_owned(),
        organization_ids: vec![id(31), id(32)],
        fields: vec![ticket::FieldValue {
            key: "order_no".to_owned(),
            values: vec!["A-1".to_owned(), "A-2".to_owned()],
        }],
        substatus: "waiting_for_parts".to_owned(),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
fn same_matter() -> Option<ticket::SameMatter> {
    Some(ticket::SameMatter {
        ticket_id: id(41),
        ground: "reference".to_owned(),
        score: 87,
        proven: true,
        matter_id: id(42),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
fn fact() -> Option<ticket::MessageFact> {
    Some(ticket::MessageFact {
        message_id: id(5),
        author: actor(),
        public: true,
        automatic_class: AutomaticClass::Human.into(),
        create_time: at(1),
        sequence: 3,
        channel: Channel::Telegram.into(),
        mentioned_agent_ids: vec![id(44), id(45)],
        reason: "macro 'Refund'".to_owned(),
    })
}

pub(crate) fn ticket_changed() -> ticket::TicketChanged {
    ticket::TicketChanged {
        ticket: state(),
        changes: vec![ticket::FieldChange {
            field: "status".to_owned(),
            from: "resolved".to_owned(),
            to: "closed".to_owned(),
        }],
        actor: actor(),
        change_time: at(3),
        reason: "resolved for long enough".to_owned(),
    }
}

pub(crate) fn ticket_assigned() -> ticket::TicketAssigned {
    ticket::TicketAssigned {
        ticket: state(),
        previous_assignee_id: id(7),
        previous_team_id: id(8),
        actor: actor(),
        reason: "least loaded of 3 agents".to_owned(),
        decision_id: id(4),
        assign_time: at(4),
    }
}

pub(crate) fn ticket_opened() -> ticket::TicketOpened {
    ticket::TicketOpened {
        ticket: state(),
        message: fact(),
        previous_ticket_id: id(9),
        same_matter: same_matter(),
        restricted_by: Some(ticket::RestrictedByRule {
            rule_id: id(46),
            rule_version: 3,
            rule_name: "threats".to_owned(),
            names: vec![id(47), id(48)],
        }),
    }
}

pub(crate) fn message_added() -> ticket::TicketMessageAdded {
    ticket::TicketMessageAdded {
        ticket: state(),
        message: fact(),
        previous_status: TicketStatus::WaitingOnCustomer.into(),
        same_matter: same_matter(),
    }
}

pub(crate) fn assignment_rejected() -> ticket::AssignmentRejected {
    ticket::AssignmentRejected {
        ticket: state(),
        decision_id: id(4),
        agent_id: id(3),
        cause: assignment_rejected::Cause::StaleTicket.into(),
        restricted_agent_ids: vec![id(47)],
        restricted_team_ids: vec![id(48)],
    }
}

pub(crate) fn delivery_updated() -> ticket::DeliveryUpdated {
    ticket::DeliveryUpdated {
        ticket: state(),
        message_id: id(5),
        state: DeliveryState::Failed.into(),
        update_time: at(9),
        error_code: "5.1.1".to_owned(),
    }
}

pub(crate) fn message_quarantined() -> ticket::MessageQuarantined {
    ticket::MessageQuarantined {
        message_id: id(5),
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        cause_code: "auto_reply_to_nothing_known".to_owned(),
        quarantine_time: at(9),
        team_id: id(6),
    }
}

pub(crate) fn ticket_merged() -> ticket::TicketMerged {
    ticket::TicketMerged {
        ticket: state(),
        source_ticket_id: id(21),
        source_ticket_number: 1_235,
        message_ids: vec![id(22), id(23)],
        actor: actor(),
        reason: "one matter".to_owned(),
        merge_time: at(30),
    }
}

pub(crate) fn ticket_unmerged() -> ticket::TicketUnmerged {
    ticket::TicketUnmerged {
        ticket: state(),
        source_ticket_id: id(21),
        source_ticket_number: 1_235,
        message_ids: vec![id(22), id(23)],
        actor: actor(),
        reason: "two matters".to_owned(),
        unmerge_time: at(31),
    }
}

pub(crate) fn message_split() -> ticket::MessageSplit {
    ticket::MessageSplit {
        ticket: state(),
        message_id: id(22),
        new_ticket_id: id(24),
        new_ticket_number: 1_236,
        actor: actor(),
        reason: "another matter".to_owned(),
        split_time: at(32),
        message_ids: vec![id(22), id(43)],
    }
}

pub(crate) fn task_due() -> ticket::TaskDue {
    ticket::TaskDue {
        ticket: state(),
        task_id: id(33),
        assignee_id: id(3),
        remind_time: at(40),
        due_time: at(50),
    }
}
