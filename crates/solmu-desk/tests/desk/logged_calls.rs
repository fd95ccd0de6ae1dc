//! The calls whose entries [`crate::logged`] looks for, by what they are about.

use prost_types::FieldMask;
use solmu_proto::{
    ticket::v1::{self as proto, LinkKind},
    types::v1::{Priority, TicketStatus},
};
use uuid::Uuid;

use crate::{logged::Walk, support::AGENT};

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask {
        paths: paths.iter().map(|it| (*it).to_owned()).collect(),
    }
}

pub(super) async fn commands(walk: &mut Walk) {
    let ticket = walk.ticket().await.id;
    let ticket_id = ticket.to_string();
    let mut tickets = walk.api.tickets();
    let request = walk.api.agent(proto::UpdateTicketRequest {
        ticket: Some(proto::Ticket {
            id: ticket_id.clone(),
            subject: "Another".to_owned(),
            ..proto::Ticket::default()
        }),
        update_mask: Some(mask(&["subject"])),
        ..proto::UpdateTicketRequest::default()
    });
    walk.call(
        "TicketService/UpdateTicket",
        ticket,
        tickets.update_ticket(request),
    )
    .await;
    let request = walk.api.agent(proto::AddNoteRequest {
        ticket_id: ticket_id.clone(),
        text: "a note".to_owned(),
        ..proto::AddNoteRequest::default()
    });
    walk.call("TicketService/AddNote", ticket, tickets.add_note(request))
        .await;
    let request = walk.api.agent(proto::ReplyToTicketRequest {
        ticket_id: ticket_id.clone(),
        text: "an answer".to_owned(),
        ..proto::ReplyToTicketRequest::default()
    });
    walk.call(
        "TicketService/ReplyToTicket",
        ticket,
        tickets.reply_to_ticket(request),
    )
    .await;
    let request = walk.api.agent(proto::SetStatusRequest {
        ticket_id: ticket_id.clone(),
        status: TicketStatus::Resolved.into(),
        ..proto::SetStatusRequest::default()
    });
    walk.call(
        "TicketService/SetStatus",
        ticket,
        tickets.set_status(request),
    )
    .await;
    let request = walk.api.agent(proto::SetPriorityRequest {
        ticket_id: ticket_id.clone(),
        priority: Priority::High.into(),
        ..proto::SetPriorityRequest::default()
    });
    walk.call(
        "TicketService/SetPriority",
        ticket,
        tickets.set_priority(request),
    )
    .await;
    let request = walk.api.agent(proto::AssignTicketRequest {
        ticket_id,
        agent_id: AGENT.to_string(),
        ..proto::AssignTicketRequest::default()
    });
    walk.call(
        "TicketService/AssignTicket",
        ticket,
        tickets.assign_ticket(request),
    )
    .await;
}

pub(super) async fn restricting(walk: &mut Walk) {
    let ticket = walk.ticket().await.id;
    let mut tickets = walk.api.tickets();
    let request = walk.api.agent(proto::RestrictTicketRequest {
        ticket_id: ticket.to_string(),
        agent_ids: vec![AGENT.to_string()],
        reason: "a threat".to_owned(),
        ..proto::RestrictTicketRequest::default()
    });
    walk.call(
        "TicketService/RestrictTicket",
        ticket,
        tickets.restrict_ticket(request),
    )
    .await;
    let request = walk.api.agent(proto::UnrestrictTicketRequest {
        ticket_id: ticket.to_string(),
        reason: "none after all".to_owned(),
        ..proto::UnrestrictTicketRequest::default()
    });
    walk.call(
        "TicketService/UnrestrictTicket",
        ticket,
        tickets.unrestrict_ticket(request),
    )
    .await;
}

pub(super) async fn merging(walk: &mut Walk) {
    let (source, target) = (walk.ticket().await.id, walk.ticket().await.id);
    let mut tickets = walk.api.tickets();
    let request = walk.api.agent(proto::MergeTicketsRequest {
        source_ids: vec![source.to_string()],
        target_id: target.to_string(),
        reason: "the same".to_owned(),
        ..proto::MergeTicketsRequest::default()
    });
    walk.call(
        "TicketService/MergeTickets",
        target,
        tickets.merge_tickets(request),
    )
    .await;
    let message: Uuid = sqlx::query_scalar(
        "SELECT id FROM tickets.message WHERE ticket_id = $1 ORDER BY sequence DESC LIMIT 1",
    )
    .bind(target)
    .fetch_one(walk.api.world.pool())
    .await
    .unwrap();
    let request = walk.api.agent(proto::UnmergeTicketRequest {
        ticket_id: source.to_string(),
        reason: "another".to_owned(),
        ..proto::UnmergeTicketRequest::default()
    });
    walk.call(
        "TicketService/UnmergeTicket",
        source,
        tickets.unmerge_ticket(request),
    )
    .await;
    // Once more, so that one ticket has two messages.
    let request = walk.api.agent(proto::MergeTicketsRequest {
        source_ids: vec![source.to_string()],
        target_id: target.to_string(),
        reason: "the same".to_owned(),
        ..proto::MergeTicketsRequest::default()
    });
    walk.call(
        "TicketService/MergeTickets",
        source,
        tickets.merge_tickets(request),
    )
    .await;
    let request = walk.api.agent(proto::SplitMessageRequest {
        message_id: message.to_string(),
        reason: "two matters".to_owned(),
        ..proto::SplitMessageRequest::default()
    });
    walk.call(
        "TicketService/SplitMessage",
        target,
        tickets.split_message(request),
    )
    .await;
}

pub(super) async fn tasks(walk: &mut Walk) {
    let ticket = walk.ticket().await.id;
    let mut work = walk.api.work();
    let request = walk.api.agent(proto::CreateTaskRequest {
        task: Some(proto::Task {
            ticket_id: ticket.to_string(),
            title: "call back".to_owned(),
            ..proto::Task::default()
        }),
        ..proto::CreateTaskRequest::default()
    });
    let task = walk
        .call("WorkService/CreateTask", ticket, work.create_task(request))
        .await;
    let request = walk.api.agent(proto::UpdateTaskRequest {
        task: Some(proto::Task {
            id: task.id.clone(),
            title: "write back".to_owned(),
            ..proto::Task::default()
        }),
        update_mask: Some(mask(&["title"])),
        ..proto::UpdateTaskRequest::default()
    });
    walk.call("WorkService/UpdateTask", ticket, work.update_task(request))
        .await;
    let request = walk.api.agent(proto::DeleteTaskRequest { id: task.id });
    walk.call("WorkService/DeleteTask", ticket, work.delete_task(request))
        .await;
    let follower = Uuid::from_u128(78).to_string();
    let request = walk.api.agent(proto::AddFollowerRequest {
        ticket_id: ticket.to_string(),
        agent_id: follower.clone(),
        ..proto::AddFollowerRequest::default()
    });
    walk.call(
        "WorkService/AddFollower",
        ticket,
        work.add_follower(request),
    )
    .await;
    let request = walk.api.agent(proto::RemoveFollowerRequest {
        ticket_id: ticket.to_string(),
        agent_id: follower,
        ..proto::RemoveFollowerRequest::default()
    });
    walk.call(
        "WorkService/RemoveFollower",
        ticket,
        work.remove_follower(request),
    )
    .await;
    let request = walk.api.agent(proto::SnoozeTicketRequest {
        ticket_id: ticket.to_string(),
        set_status: TicketStatus::WaitingOnThirdParty.into(),
        ..proto::SnoozeTicketRequest::default()
    });
    walk.call(
        "WorkService/SnoozeTicket",
        ticket,
        work.snooze_ticket(request),
    )
    .await;
    let request = walk.api.agent(proto::WakeTicketRequest {
        ticket_id: ticket.to_string(),
        ..proto::WakeTicketRequest::default()
    });
    walk.call("WorkService/WakeTicket", ticket, work.wake_ticket(request))
        .await;
}

pub(super) async fn linking(walk: &mut Walk) {
    let (ticket, other) = (walk.ticket().await.id, walk.ticket().await.id);
    let mut work = walk.api.work();
    let link = proto::LinkTicketsRequest {
        ticket_id: ticket.to_string(),
        other_ticket_id: other.to_string(),
        kind: LinkKind::Related.into(),
        ..proto::LinkTicketsRequest::default()
    };
    // Both sides say it.
    let request = walk.api.agent(link.clone());
    walk.call(
        "WorkService/LinkTickets",
        ticket,
        work.link_tickets(request),
    )
    .await;
    assert!(walk.entries(other).await > 0, "the other side of a link");
    let request = walk.api.agent(proto::UnlinkTicketsRequest {
        ticket_id: link.ticket_id.clone(),
        other_ticket_id: link.other_ticket_id.clone(),
        kind: link.kind,
        ..proto::UnlinkTicketsRequest::default()
    });
    walk.call(
        "WorkService/UnlinkTickets",
        other,
        work.unlink_tickets(request),
    )
    .await;
    let request = walk.api.agent(proto::LinkTicketsRequest {
        kind: LinkKind::ProblemOf.into(),
        ..link
    });
    walk.call(
        "WorkService/LinkTickets",
        ticket,
        work.link_tickets(request),
    )
    .await;
    let request = walk.api.agent(proto::BroadcastReplyRequest {
        ticket_id: ticket.to_string(),
        text: "it is mended".to_owned(),
        request_id: "broadcast".to_owned(),
        ..proto::BroadcastReplyRequest::default()
    });
    walk.call(
        "WorkService/BroadcastReply",
        other,
        work.broadcast_reply(request),
    )
    .await;
}

pub(super) async fn times(walk: &mut Walk) {
    let ticket = walk.ticket().await.id;
    let mut time = walk.api.time();
    let now = solmu_domain::clock::Clock::now(&walk.api.world.harness.clock);
    let request = walk.api.agent(proto::CreateTimeEntryRequest {
        entry: Some(proto::TimeEntry {
            ticket_id: ticket.to_string(),
            start_time: Some(solmu_bus::envelope::to_proto_time(
                now - jiff::SignedDuration::from_hours(2),
            )),
            seconds: 600,
            ..proto::TimeEntry::default()
        }),
        ..proto::CreateTimeEntryRequest::default()
    });
    let created = time.create_time_entry(request);
    let entry = walk
        .call("TimeService/CreateTimeEntry", ticket, created)
        .await;
    let request = walk.api.agent(proto::UpdateTimeEntryRequest {
        entry: Some(proto::TimeEntry {
            id: entry.id.clone(),
            seconds: 900,
            ..proto::TimeEntry::default()
        }),
        update_mask: Some(mask(&["seconds"])),
    });
    walk.call(
        "TimeService/UpdateTimeEntry",
        ticket,
        time.update_time_entry(request),
    )
    .await;
    let request = walk.api.agent(proto::DeleteTimeEntryRequest {
        id: entry.id,
        ..proto::DeleteTimeEntryRequest::default()
    });
    walk.call(
        "TimeService/DeleteTimeEntry",
        ticket,
        time.delete_time_entry(request),
    )
    .await;
    let request = walk.api.agent(proto::StartTimerRequest {
        ticket_id: ticket.to_string(),
        ..proto::StartTimerRequest::default()
    });
    time.start_timer(request).await.unwrap();
    walk.api
        .world
        .harness
        .clock
        .advance(jiff::SignedDuration::from_mins(5));
    let request = walk.api.agent(proto::StopTimerRequest::default());
    walk.call("TimeService/StopTimer", ticket, time.stop_timer(request))
        .await;
}

pub(super) async fn many(walk: &mut Walk) {
    let ticket = walk.ticket().await.id;
    let mut desk = walk.api.desk();
    let request = walk.api.agent(proto::BulkUpdateRequest {
        ticket_ids: vec![ticket.to_string()],
        ticket: Some(proto::Ticket {
            priority: Priority::Urgent.into(),
            ..proto::Ticket::default()
        }),
        update_mask: Some(mask(&["priority"])),
        ..proto::BulkUpdateRequest::default()
    });
    walk.call("DeskService/BulkUpdate", ticket, desk.bulk_update(request))
        .await;
    let step = proto::MacroStep {
        step: Some(proto::macro_step::Step::AddTag("refund".to_owned())),
    };
    let request = walk.api.admin(proto::CreateMacroRequest {
        r#macro: Some(proto::Macro {
            name: "Refund".to_owned(),
            steps: vec![step],
            ..proto::Macro::default()
        }),
        ..proto::CreateMacroRequest::default()
    });
    let made = desk.create_macro(request).await.unwrap().into_inner();
    let request = walk.api.agent(proto::ApplyMacroRequest {
        macro_id: made.id,
        ticket_id: ticket.to_string(),
        ..proto::ApplyMacroRequest::default()
    });
    walk.call("DeskService/ApplyMacro", ticket, desk.apply_macro(request))
        .await;
}
